// The franz-go peer of `just bench-peers`; bench/README.md has its command line and the line that it prints.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	connectTimeout = 20 * time.Second
	// Nothing for so long means that nothing more will come.
	patience = 10 * time.Second
	warmUp   = 2 * time.Second
	// The records of a latency run carry the moment they were due.
	stampSize = 8
)

type options struct {
	mode, brokers, topic, compression string
	count, size, rate, seconds        int
	tuned                             bool
}

type settings map[string]any

type latency struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99.9"`
	P9999 float64 `json:"p99.99"`
	Max   float64 `json:"max"`
	Count int     `json:"count"`
}

type report struct {
	Version             int      `json:"version"`
	What                string   `json:"what"`
	Topic               string   `json:"topic"`
	Complete            bool     `json:"complete"`
	Ended               *string  `json:"ended"`
	Settings            settings `json:"settings"`
	Records             int64    `json:"records"`
	Bytes               int64    `json:"bytes"`
	Seconds             float64  `json:"seconds"`
	RecordsPerSecond    *float64 `json:"records_per_second"`
	MegabytesPerSecond  *float64 `json:"megabytes_per_second"`
	CPUSeconds          float64  `json:"cpu_seconds"`
	CPUPerMillion       *float64 `json:"cpu_seconds_per_million_records"`
	RecordsPerCPUSecond *float64 `json:"records_per_cpu_second"`
	PeakMemory          *int64   `json:"peak_memory_bytes"`
	Latency             *latency `json:"latency_ms"`
}

func main() {
	options, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "franz-go: %v\n", err)
		os.Exit(2)
	}
	report, err := run(options)
	if err != nil {
		fmt.Fprintf(os.Stderr, "franz-go: %v\n", err)
		os.Exit(1)
	}
	line, err := json.Marshal(report)
	if err != nil {
		fmt.Fprintf(os.Stderr, "franz-go: %v\n", err)
		os.Exit(1)
	}
	fmt.Printf("%s\n", line)
	if !report.Complete {
		os.Exit(1)
	}
}

func parse(arguments []string) (options, error) {
	var o options
	if len(arguments) == 0 {
		return o, errors.New("which mode? produce, consume, latency, idle or first")
	}
	o.mode = arguments[0]
	flags := flag.NewFlagSet(o.mode, flag.ContinueOnError)
	flags.StringVar(&o.brokers, "brokers", "localhost:9092", "address, several with commas")
	flags.StringVar(&o.topic, "topic", "bench", "an existing topic")
	flags.IntVar(&o.count, "count", 1_000_000, "records to produce or consume")
	flags.IntVar(&o.size, "size", 100, "bytes of each value")
	flags.IntVar(&o.rate, "rate", 1000, "records per second of latency")
	flags.IntVar(&o.seconds, "seconds", 10, "how long latency and idle take")
	flags.BoolVar(&o.tuned, "tuned", false, "large batches; no linger for latency")
	flags.StringVar(&o.compression, "compression", "none", "none or lz4")
	if err := flags.Parse(arguments[1:]); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%q is no option", flags.Arg(0))
	case o.count < 1 || o.size < 1 || o.rate < 1 || o.seconds < 1:
		return o, errors.New("count, size, rate and seconds start at 1")
	case o.compression != "none" && o.compression != "lz4":
		return o, fmt.Errorf("compression %q: none or lz4", o.compression)
	case o.mode == "latency" && o.size < stampSize:
		return o, fmt.Errorf("latency needs values of %d bytes", stampSize)
	}
	return o, nil
}

func run(o options) (*report, error) {
	switch o.mode {
	case "produce":
		return produce(o)
	case "first":
		o.count = 1
		return produce(o)
	case "consume":
		return consume(o)
	case "latency":
		return measureLatency(o)
	case "idle":
		return idle(o)
	}
	return nil, fmt.Errorf("mode %q: produce, consume, latency, idle or first", o.mode)
}

// Idempotence and acks=all are franz-go's own defaults.
func producerOptions(o options) ([]kgo.Opt, settings) {
	set := settings{
		"client": clientVersion(), "go": runtime.Version(), "acks": "all", "enable.idempotence": true,
		"partitioner": "default (sticky)", "compression.type": o.compression,
	}
	codec := kgo.NoCompression()
	if o.compression == "lz4" {
		codec = kgo.Lz4Compression()
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(o.brokers, ",")...),
		kgo.DefaultProduceTopic(o.topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(codec),
	}
	switch {
	case o.mode == "latency" && o.tuned:
		opts = append(opts, kgo.ProducerLinger(0))
		set["ProducerLinger"] = "0"
	case o.tuned:
		opts = append(opts,
			kgo.ProducerLinger(5*time.Millisecond),
			kgo.ProducerBatchMaxBytes(1_000_000),
			kgo.MaxBufferedRecords(200_000))
		set["ProducerLinger"] = "5ms"
		set["ProducerBatchMaxBytes"] = 1_000_000
		set["MaxBufferedRecords"] = 200_000
		set["records"] = "reused (sync.Pool)"
	}
	return opts, set
}

// CRCs are checked by default. `from` says where to start.
func consumerOptions(o options, from ...kgo.Opt) ([]kgo.Opt, settings) {
	opts := append(from, kgo.SeedBrokers(strings.Split(o.brokers, ",")...))
	set := settings{"client": clientVersion(), "go": runtime.Version(), "group": nil, "check.crcs": true}
	if o.tuned && o.mode == "consume" {
		opts = append(opts, kgo.WithPools(&recordPool{}))
		set["WithPools"] = "records"
	}
	return opts, set
}

func connect(opts []kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// A consumer of what is produced from now on: the ends are looked up first, so nothing is missed while it starts.
func connectAtEnd(o options, admin *kgo.Client) (*kgo.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	ends, err := kadm.NewClient(admin).ListEndOffsets(ctx, o.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	if len(ends[o.topic]) == 0 {
		return nil, fmt.Errorf("there is no topic %s", o.topic)
	}
	opts, _ := consumerOptions(o, kgo.ConsumePartitions(ends.KOffsets()))
	return connect(opts)
}

// connectBoth gives a producer, a consumer at the end of the topic, and what the producer is set to.
func connectBoth(o options) (producer, consumer *kgo.Client, set settings, err error) {
	opts, set := producerOptions(o)
	if producer, err = connect(opts); err != nil {
		return nil, nil, nil, err
	}
	if consumer, err = connectAtEnd(o, producer); err != nil {
		producer.Close()
		return nil, nil, nil, err
	}
	return producer, consumer, set, nil
}

func produce(o options) (*report, error) {
	opts, set := producerOptions(o)
	client, err := connect(opts)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	values := newValues(o.size)
	var acknowledged, bytes atomic.Int64
	var failure atomic.Pointer[string]
	records := sync.Pool{New: func() any { return new(kgo.Record) }}
	promise := func(record *kgo.Record, err error) {
		if err != nil {
			text := err.Error()
			failure.CompareAndSwap(nil, &text)
		} else {
			acknowledged.Add(1)
			bytes.Add(int64(len(record.Value)))
		}
		if o.tuned {
			*record = kgo.Record{}
			records.Put(record)
		}
	}
	ctx := context.Background()
	measured := start()
	for i := range o.count {
		var record *kgo.Record
		if o.tuned {
			record = records.Get().(*kgo.Record)
		} else {
			record = new(kgo.Record)
		}
		record.Value = values[i%len(values)]
		client.Produce(ctx, record, promise)
	}
	if err := client.Flush(ctx); err != nil {
		return nil, err
	}
	result := measured.end(o, set, acknowledged.Load(), bytes.Load())
	result.Ended = failure.Load()
	result.Complete = result.Records == int64(o.count)
	return result, nil
}

func consume(o options) (*report, error) {
	opts, set := consumerOptions(o, kgo.ConsumeTopics(o.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	client, err := connect(opts)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records, bytes int64
	var ended *string
	count := int64(o.count)
	measured := start()
	for records < count {
		fetches, err := poll(client, patience)
		if err != nil {
			text := err.Error()
			ended = &text
			break
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if records < count {
				records++
				bytes += int64(len(record.Value))
			}
			if o.tuned {
				record.Recycle()
			}
		})
	}
	result := measured.end(o, set, records, bytes)
	result.Ended, result.Complete = ended, records == count
	return result, nil
}

func poll(client *kgo.Client, limit time.Duration) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	fetches := client.PollFetches(ctx)
	for _, failed := range fetches.Errors() {
		if errors.Is(failed.Err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("no record for %v", limit)
		}
		return nil, fmt.Errorf("partition %d: %w", failed.Partition, failed.Err)
	}
	return fetches, nil
}

func measureLatency(o options) (*report, error) {
	producer, consumer, set, err := connectBoth(o)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	defer consumer.Close()

	warm := int(warmUp.Seconds()) * o.rate
	total := warm + o.seconds*o.rate
	period := func(i int) time.Duration { return time.Duration(float64(i) * 1e9 / float64(o.rate)) }
	var failure atomic.Pointer[string]
	begin := time.Now()
	measured := make(chan measurement, 1)
	go func() {
		values := newValues(o.size)
		for i := range total {
			due := period(i)
			if wait := due - time.Since(begin); wait > 0 {
				time.Sleep(wait)
			}
			if i == warm {
				measured <- start()
			}
			value := slices.Clone(values[i%len(values)])
			binary.LittleEndian.PutUint64(value, uint64(due))
			producer.Produce(context.Background(), &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					text := err.Error()
					failure.CompareAndSwap(nil, &text)
				}
			})
		}
	}()

	latencies := make([]time.Duration, 0, total-warm)
	var bytes int64
	var ended *string
	for received := 0; received < total; {
		fetches, err := poll(consumer, patience)
		if err != nil {
			text := err.Error()
			ended = &text
			break
		}
		now := time.Since(begin)
		fetches.EachRecord(func(record *kgo.Record) {
			if len(record.Value) != o.size {
				return
			}
			received++
			due := time.Duration(binary.LittleEndian.Uint64(record.Value))
			if due >= period(warm) {
				latencies = append(latencies, now-due)
				bytes += int64(len(record.Value))
			}
		})
	}
	if cause := failure.Load(); cause != nil {
		ended = cause
	}
	var from measurement
	select {
	case from = <-measured:
	default:
		return nil, fmt.Errorf("ended during the warm-up: %s", *ended)
	}
	result := from.end(o, set, int64(len(latencies)), bytes)
	result.Ended, result.Complete = ended, len(latencies) == total-warm
	result.Latency = percentiles(latencies)
	return result, nil
}

func idle(o options) (*report, error) {
	producer, consumer, set, err := connectBoth(o)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	defer consumer.Close()
	seconds := time.Duration(o.seconds) * time.Second
	measured := start()
	ctx, cancel := context.WithTimeout(context.Background(), seconds)
	defer cancel()
	var records, bytes int64
	for ctx.Err() == nil {
		fetches := consumer.PollFetches(ctx)
		fetches.EachRecord(func(record *kgo.Record) { records, bytes = records+1, bytes+int64(len(record.Value)) })
	}
	result := measured.end(o, set, records, bytes)
	result.Complete = true
	return result, nil
}

// values are what is sent, the same as those of `krs bench`: the first half of each is xorshift64, the second half zeros, so
// that lz4 makes it about half as long. Equal ones are further apart than lz4 looks back.
type values [][]byte

func newValues(size int) values {
	const span, most = 128 * 1024, 4096
	distinct := make(values, min((span+size-1)/size, most))
	state := uint64(0x9E3779B97F4A7C15)
	for n := range distinct {
		distinct[n] = make([]byte, size)
		for i := range (size + 1) / 2 {
			state ^= state << 13
			state ^= state >> 7
			state ^= state << 17
			distinct[n][i] = byte(state >> 32)
		}
	}
	return distinct
}

// recordPool keeps franz-go from allocating the slice of records of each fetched partition anew.
type recordPool struct{ slices sync.Pool }

func (p *recordPool) GetRecords(n int) []kgo.Record {
	if kept, ok := p.slices.Get().(*[]kgo.Record); ok && cap(*kept) >= n {
		return (*kept)[:0]
	}
	return make([]kgo.Record, 0, n)
}

func (p *recordPool) PutRecords(records []kgo.Record) { p.slices.Put(&records) }

func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/twmb/franz-go" {
				return "franz-go " + module.Version
			}
		}
	}
	return "franz-go"
}

type measurement struct {
	at  time.Time
	cpu float64
}

func start() measurement { return measurement{time.Now(), cpuSeconds()} }

func (m measurement) end(o options, set settings, records, bytes int64) *report {
	seconds, cpu := time.Since(m.at).Seconds(), cpuSeconds()-m.cpu
	n := float64(records)
	return &report{
		Version: 1, What: o.mode, Topic: o.topic, Settings: set, Records: records, Bytes: bytes,
		Seconds: seconds, RecordsPerSecond: ratio(n, seconds), MegabytesPerSecond: ratio(float64(bytes)/1e6, seconds),
		CPUSeconds: cpu, CPUPerMillion: ratio(cpu*1e6, n), RecordsPerCPUSecond: ratio(n, cpu),
		PeakMemory: peakMemory(),
	}
}

func ratio(a, b float64) *float64 {
	if b <= 0 {
		return nil
	}
	quotient := a / b
	return &quotient
}

// All threads, user and system.
func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// Not getrusage's ru_maxrss: that one also holds the memory that the starting program had before exec.
func peakMemory() *int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return nil
			}
			bytes := kilobytes * 1024
			return &bytes
		}
	}
	return nil
}

// The smallest latency that at least the given share of all records did not exceed.
func percentiles(all []time.Duration) *latency {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		rank := int(math.Ceil(share * float64(len(all))))
		return float64(all[max(rank, 1)-1]) / 1e6
	}
	return &latency{
		P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), P9999: at(0.9999),
		Max: at(1), Count: len(all),
	}
}
