// What the assignors of Java's client decide. Reads cases, one JSON object a line:
//   {"topics": {"t0": [["a", "b"], []]}, "members": [{"id": "m0", "instance": null, "topics": ["t0"],
//    "owned": [["t0", 1]], "generation": 3, "rack": "a"}]}
// with the racks of each partition's replicas, and answers each with a line
//   {"range": {"m0": [["t0", 0], ["t0", 1]]}, "roundrobin": …, "sticky": …, "cooperative-sticky": …}
// Run from its source: java -cp 'libs/*' Assignors.java <cases

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.RebalanceProtocol;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

public class Assignors {
    public static void main(String[] arguments) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            JsonNode oneCase = mapper.readTree(line);
            ObjectNode answer = mapper.createObjectNode();
            Cluster cluster = cluster(oneCase.get("topics"));
            for (ConsumerPartitionAssignor assignor : List.of(
                    new RangeAssignor(), new RoundRobinAssignor(), new StickyAssignor(), new CooperativeStickyAssignor())) {
                Map<String, Subscription> members = new HashMap<>();
                for (JsonNode member : oneCase.get("members")) {
                    members.put(member.get("id").asText(), subscription(assignor, member));
                }
                ObjectNode shares = answer.putObject(assignor.name());
                Map<String, Assignment> assigned =
                    new TreeMap<>(assignor.assign(cluster, new GroupSubscription(members)).groupAssignment());
                assigned.forEach((id, assignment) -> {
                    ArrayNode share = shares.putArray(id);
                    assignment.partitions().forEach(at -> share.addArray().add(at.topic()).add(at.partition()));
                });
            }
            System.out.println(answer);
        }
    }

    /** One broker for each rack, and one without. */
    private static Cluster cluster(JsonNode topics) {
        Map<String, Node> nodes = new TreeMap<>();
        nodes.put("", new Node(0, "localhost", 9092));
        List<PartitionInfo> partitions = new ArrayList<>();
        topics.fields().forEachRemaining(topic -> {
            for (int number = 0; number < topic.getValue().size(); number++) {
                List<Node> replicas = new ArrayList<>();
                for (JsonNode rack : topic.getValue().get(number)) {
                    replicas.add(nodes.computeIfAbsent(
                        rack.asText(), name -> new Node(nodes.size(), "localhost", 9092, name)));
                }
                if (replicas.isEmpty()) {
                    replicas.add(nodes.get(""));
                }
                Node[] all = replicas.toArray(new Node[0]);
                partitions.add(new PartitionInfo(topic.getKey(), number, all[0], all, all));
            }
        });
        return new Cluster("judged", nodes.values(), partitions, Set.of(), Set.of());
    }

    /** What this member would send, by a member's own assignor that was assigned before what it owns. */
    private static Subscription subscription(ConsumerPartitionAssignor leaders, JsonNode member) throws Exception {
        List<String> topics = new ArrayList<>();
        member.get("topics").forEach(topic -> topics.add(topic.asText()));
        List<TopicPartition> owned = new ArrayList<>();
        member.get("owned").forEach(at -> owned.add(new TopicPartition(at.get(0).asText(), at.get(1).asInt())));
        int generation = member.get("generation").asInt();
        String id = member.get("id").asText();
        Optional<String> instance = Optional.ofNullable(member.get("instance").textValue());
        ConsumerPartitionAssignor own = leaders.getClass().getDeclaredConstructor().newInstance();
        if (generation >= 0) {
            own.onAssignment(new Assignment(owned), new ConsumerGroupMetadata("group", generation, id, instance));
        }
        ByteBuffer data = own.subscriptionUserData(new HashSet<>(topics));
        boolean keeps = own.supportedProtocols().contains(RebalanceProtocol.COOPERATIVE);
        Optional<String> rack = Optional.ofNullable(member.get("rack").textValue());
        Subscription subscription = new Subscription(topics, data, keeps ? owned : List.of(), generation, rack);
        subscription.setGroupInstanceId(instance);
        return subscription;
    }
}
