use super::*;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

/// Answers each request with the next of `answers` (status line and headers, body), over one or more connections.
fn serve(answers: Vec<(&'static str, String)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let worker = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for (head, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut request, mut length) = (String::new(), 0);
            reader.read_line(&mut request).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut content = vec![0; length];
            reader.read_exact(&mut content).unwrap();
            seen.push(format!("{}|{}", request.trim(), String::from_utf8(content).unwrap()));
            let length = body.len();
            write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        }
        seen
    });
    (url, worker)
}

#[test]
fn refusals_are_counted_by_code_and_a_busy_daemon_is_asked_again() {
    let answers = "{\"seq\":1,\"time\":5}\n{\"code\":\"no_mark\",\"message\":\"none\"}\n{\"code\":\"no_mark\",\"message\":\"x\"}\n";
    let (url, worker) =
        serve(vec![("503 Service Unavailable\r\nretry-after: 0", String::new()), ("200 OK", answers.to_owned())]);
    let mut client = Client::new(&url, &url);
    for place in 0..3 {
        client.push(&serde_json::json!({"type": "tick", "time": place})).unwrap();
    }
    client.flush().unwrap();
    let seen = worker.join().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1], "the same body again");
    assert!(seen[1].starts_with("POST /v1/commands HTTP/1.1|") && seen[1].matches("\"tick\"").count() == 3);
    assert_eq!(client.sent, 3);
    let refused = &client.refused["no_mark"];
    assert_eq!((refused.count, refused.message.as_str()), (2, "none"));
    assert!(refused.command.contains("\"time\":1"));
}

#[test]
fn a_list_is_read_to_its_end() {
    let page = |items: &str, next: &str| ("200 OK", format!("{{\"items\":{items},\"next\":{next},\"seq\":1}}"));
    let (url, worker) = serve(vec![page("[1,2]", "\"b\""), page("[3]", "null")]);
    let mut found = Vec::new();
    Client::new(&url, &url).each("/v1/adl", |item: u64| found.push(item)).unwrap();
    assert_eq!(found, [1, 2, 3]);
    let seen = worker.join().unwrap();
    assert!(seen[1].contains("cursor=b"), "{seen:?}");
}

#[test]
fn a_missing_answer_and_a_refused_body_are_errors() {
    let (url, worker) =
        serve(vec![("200 OK", "{\"seq\":1}\n".to_owned()), ("413 Payload Too Large", "big".to_owned())]);
    let mut client = Client::new(&url, &url);
    client.push(&serde_json::json!({"type": "tick"})).unwrap();
    client.push(&serde_json::json!({"type": "tick"})).unwrap();
    let error = client.flush().unwrap_err().to_string();
    assert!(error.ends_with("1 answers to 2 commands"), "{error}");
    let error = client.flush().unwrap_err().to_string();
    assert!(error.ends_with("status 413: big"), "{error}");
    worker.join().unwrap();
}
