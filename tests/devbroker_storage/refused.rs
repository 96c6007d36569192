//! Directories that are no broker's, or another's.

use std::fs;
use std::path::Path;

use krs::ErrorKind;
use krs::devbroker::DevBroker;

use crate::support::*;

/// Starts where it cannot be done, and returns what is said.
fn refused(data: &Path) -> String {
    let error = DevBroker::start(options(data)).expect_err("refused");
    let text = error.to_string();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Config, 2), "{text}");
    assert!(text.contains(&data.display().to_string()) && !text.contains('\n'), "{text}");
    text
}

#[test]
fn a_directory_in_use_is_refused_until_the_other_broker_has_ended() {
    let folder = Folder::new();
    let program = Program::start(&folder.data(), "127.0.0.1:0");
    let text = refused(&folder.data());
    assert!(text.contains("is used by another broker; stop that one or use another data directory"), "{text}");
    program.kill();
    let broker = start(&folder);
    refused(&folder.data());
    broker.stop();
    start(&folder).stop();
}

#[test]
fn a_directory_that_is_not_a_brokers_is_refused_and_left_alone() {
    let folder = Folder::new();
    fs::write(folder.0.join("thesis.txt"), "dear").unwrap();
    let text = refused(&folder.0);
    assert!(text.contains("holds other things than a broker's data (thesis.txt)"), "{text}");
    let names: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);
    let text = refused(&folder.0.join("thesis.txt"));
    assert!(text.contains("is a file; use another"), "{text}");
    let text = refused(&folder.0.join("thesis.txt").join("below"));
    assert!(text.contains("cannot create the data directory") && text.contains("use another"), "{text}");
    assert_eq!(fs::read(folder.0.join("thesis.txt")).unwrap(), b"dear");
}

#[test]
fn a_directory_of_a_newer_version_or_with_unknown_contents_is_refused_by_name() {
    let folder = Folder::new();
    start(&folder).stop();
    let marker = folder.data().join("krs-broker.txt");
    let text = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, text.replace("format=1", "format=2")).unwrap();
    let said = refused(&folder.data());
    assert!(said.contains("krs-broker.txt says format 2") && said.contains("a newer version"), "{said}");
    fs::write(&marker, "something else\n").unwrap();
    assert!(refused(&folder.data()).contains("krs-broker.txt is not as it was written"));
    fs::write(&marker, text).unwrap();
    for (name, content) in [("topics.txt", "topic\n"), ("producer-ids.txt", "next=-1\n")] {
        let path = folder.data().join(name);
        let before = fs::read(&path).ok();
        fs::write(&path, content).unwrap();
        let said = refused(&folder.data());
        assert!(said.contains(&format!("{name} is not as it was written: ")), "{said}");
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    start(&folder).stop();
    fs::remove_file(folder.data().join("topics.txt")).unwrap();
    assert!(refused(&folder.data()).contains("topics.txt: "));
}
