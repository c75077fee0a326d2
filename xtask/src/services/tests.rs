use super::*;

/// Redis stands for all: it starts in milliseconds, and what is tested here is the same code for each.
fn redis_in(folder: &Path) -> Services {
    // Never Compose: the Compose file would be looked for in a folder that has none.
    fs::create_dir_all(folder).unwrap();
    let engine = Engine::Native(Native::new(folder.to_owned(), Voice::Silent));
    Services { folder: folder.to_owned(), engine, voice: Voice::Silent }
}

fn pid(services: &Services) -> Option<u32> {
    services.status().unwrap().into_iter().find(|status| status.name == Name::Redis).unwrap().pid
}

#[test]
fn a_second_up_is_a_no_op_and_a_third_restarts_what_died_with_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let services = redis_in(&dir.path().join("services"));

    assert_eq!(services.up(&[Name::Redis]).unwrap(), [Name::Redis]);
    let first = pid(&services).unwrap();
    let port = services.status().unwrap()[2].port;
    let env = fs::read_to_string(services.folder.join("env")).unwrap();
    ask(port, "SET waggle:kept 42");

    assert_eq!(services.up(&[Name::Redis]).unwrap(), []);
    assert_eq!(pid(&services), Some(first));

    services.kill(Name::Redis).unwrap();
    assert_eq!(pid(&services), None);
    assert!(services.kill(Name::Redis).is_err(), "nothing is left to kill");
    // The file still names the process that was killed.
    assert!(services.folder.join("redis/pid").is_file());

    assert_eq!(services.up(&[Name::Redis]).unwrap(), [Name::Redis]);
    assert_ne!(pid(&services), Some(first));
    assert_eq!(services.status().unwrap()[2].port, port);
    assert_eq!(fs::read_to_string(services.folder.join("env")).unwrap(), env);
    assert_eq!(ask(port, "GET waggle:kept"), "$2\r\n42\r\n");

    services.down(&Name::ALL, true).unwrap();
    assert_eq!(pid(&services), None);
    assert!(!services.folder.join("redis/data").exists());
}

/// Sends one line to Redis and reads its whole reply.
fn ask(port: u16, line: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{line}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.strip_suffix("+OK\r\n").unwrap().to_owned()
}

#[test]
fn a_status_says_what_is_not_known_as_null() {
    let status = Status {
        name: Name::Kafka,
        port: 20_001,
        pid: None,
        version: None,
        memory_bytes: None,
        data_bytes: Some(3 << 20),
    };
    assert_eq!(
        status.to_json(),
        json!({"name": "kafka", "running": false, "port": 20_001, "pid": null, "version": null,
            "memory_bytes": null, "data_bytes": 3_145_728})
    );
    assert!(status.to_string().contains("stopped"), "{status}");
    assert!(status.to_string().contains("data 3.0 MiB"), "{status}");
}
