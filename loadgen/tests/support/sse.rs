//! The live page as a program sees it: requests by hand, and server-sent events.

use super::running::BUDGET;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// Where a page is, as its address says.
#[derive(Clone, Debug)]
pub struct Site {
    pub host: String,
    pub path: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Site {
    /// The page whose address stands in this line.
    pub fn of(line: &str) -> Site {
        let at = line.find("http://").expect("an address") + "http://".len();
        let address = line[at..].trim();
        let path = address.find('/').expect("a path");
        Site { host: address[..path].to_owned(), path: address[path..].to_owned() }
    }

    pub fn url(&self) -> String {
        format!("http://{}{}", self.host, self.path)
    }

    /// Sends a request as it stands, and answers with the connection. HTTP/1.0: nothing comes in chunks.
    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.host).expect("the page is served");
        stream.set_read_timeout(Some(BUDGET)).expect("a time-out");
        let length = body.len();
        let text = format!("{method} {path} HTTP/1.0\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).expect("a request is sent");
        stream
    }

    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut text = String::new();
        self.send(method, path, headers, body).read_to_string(&mut text).expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn get(&self, name: &str) -> Answer {
        self.ask("GET", &format!("{}{name}", self.path), &format!("Host: {}\r\n", self.host), "")
    }

    /// Asks for something to be done, as the page does.
    pub fn act(&self, json: &str) -> Answer {
        let (host, path) = (&self.host, format!("{}act", self.path));
        let headers = format!("Host: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n");
        self.ask("POST", &path, &headers, json)
    }

    pub fn events(&self) -> Events {
        let stream = self.send("GET", &format!("{}events", self.path), &format!("Host: {}\r\n", self.host), "");
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(lines.read_line(&mut line).expect("a head") > 0, "closed within the head");
        }
        Events(lines)
    }
}

/// A stream of events.
pub struct Events(BufReader<TcpStream>);

impl Events {
    /// The next event's name and data; `None` at the end.
    pub fn next(&mut self) -> Option<(String, serde_json::Value)> {
        let [name, data, empty] = [(); 3].map(|()| {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("an event in time");
            line
        });
        if name.is_empty() {
            return None;
        }
        assert_eq!(empty, "\n", "an event ends with an empty line");
        let name = name.strip_prefix("event: ").expect("a name").trim_end().to_owned();
        let data = data.strip_prefix("data: ").expect("data");
        Some((name, serde_json::from_str(data).expect("JSON")))
    }

    /// Waits for an event of this name that is as wanted; its data.
    pub fn wait(&mut self, wanted: &str, is_wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        loop {
            let (name, data) = self.next().unwrap_or_else(|| panic!("{wanted} before the end"));
            if name == wanted && is_wanted(&data) {
                return data;
            }
        }
    }
}
