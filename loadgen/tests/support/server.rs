//! A chat server for tests: accounts, friends, groups, waiting messages and chat, in any [`Tongue`], with any
//! [`Fault`].
//!
//! What was pushed to a connection counts as delivered once it is written; a user who logs out misses nothing.

use super::fault::{Fault, Faults, Verdict};
use super::tongue::Tongue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

type Pushes = mpsc::UnboundedSender<Vec<u8>>;

#[derive(Clone)]
struct Line {
    to: u64,
    message: Value,
}

/// What a user gets at the next login.
#[derive(Clone)]
struct Waiting {
    message: Value,
    /// The user has it already.
    is_copy: bool,
}

struct Online {
    pushes: Pushes,
    /// Ends the connection.
    broken: CancellationToken,
}

struct State {
    /// Names by id; ids count from 1.
    users: Vec<String>,
    passwords: Vec<Value>,
    online: BTreeMap<u64, Online>,
    waiting: HashMap<u64, Vec<Waiting>>,
    /// Names and members by id; ids count from 1.
    groups: Vec<(String, Vec<u64>)>,
    friends: u64,
    /// Reads that gave two chat messages or more.
    crowded: u64,
    /// Requests that a server of the course would not have survived.
    thrown: u64,
    faults: Faults<Line>,
}

/// A running server; it ends with the test's runtime, or when it dies.
#[derive(Clone)]
pub struct Server {
    tongue: Arc<Tongue>,
    state: Arc<Mutex<State>>,
    dead: CancellationToken,
    target: String,
}

impl Server {
    pub async fn start(tongue: Tongue, fault: Fault) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let state = State {
            users: Vec::new(),
            passwords: Vec::new(),
            online: BTreeMap::new(),
            waiting: HashMap::new(),
            groups: Vec::new(),
            friends: 0,
            crowded: 0,
            thrown: 0,
            faults: Faults::new(fault),
        };
        let target = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(Mutex::new(state));
        let server = Server { tongue: Arc::new(tongue), state, dead: CancellationToken::new(), target };
        tokio::spawn(server.clone().accept(listener));
        server
    }

    pub fn targets(&self) -> Vec<String> {
        vec![self.target.clone()]
    }

    /// How often the fault was done.
    pub async fn faults_done(&self) -> u64 {
        self.state.lock().await.faults.done
    }

    /// Requests to make friends so far.
    pub async fn friends(&self) -> u64 {
        self.state.lock().await.friends
    }

    /// Reads so far that gave two chat messages or more, which a server of the course takes for nonsense.
    pub async fn crowded(&self) -> u64 {
        self.state.lock().await.crowded
    }

    /// Requests so far that a server of the course would not have survived.
    pub async fn thrown(&self) -> u64 {
        self.state.lock().await.thrown
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((socket, _)) = accepted else { return };
                    tokio::spawn(self.clone().watch(socket));
                }
                () = self.dead.cancelled() => return,
            }
        }
    }

    /// Serves a connection; a field that is missing or of another type throws there, and ends a server of the course.
    async fn watch(self, socket: TcpStream) {
        if tokio::spawn(self.clone().serve(socket)).await.is_err() {
            self.state.lock().await.thrown += 1;
        }
    }

    async fn serve(self, socket: TcpStream) {
        let _ = socket.set_nodelay(true);
        let (mut reader, mut writer) = socket.into_split();
        let (pushes, mut pushed) = mpsc::unbounded_channel::<Vec<u8>>();
        let broken = self.dead.child_token();
        let mut session = Session { server: self.clone(), pushes, broken: broken.clone(), user: 0 };
        let writing = tokio::spawn(async move {
            while let Some(bytes) = pushed.recv().await {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let mut input = Vec::new();
        loop {
            tokio::select! {
                read = reader.read_buf(&mut input) => if !read.is_ok_and(|count| count > 0) { break },
                () = broken.cancelled() => {
                    writing.abort();
                    break;
                }
            }
            let requests = self.tongue.decode(&mut input);
            let chats = requests.iter().filter(|request| request[self.tongue.key] == self.tongue.numbers[5]).count();
            self.state.lock().await.crowded += u64::from(chats > 1);
            for request in requests {
                session.on_request(request).await;
            }
        }
        session.end().await;
    }
}

impl State {
    fn store(&mut self, line: Line, is_copy: bool) {
        self.waiting.entry(line.to).or_default().push(Waiting { message: line.message, is_copy });
    }

    /// What waits for a user who logs in; copies are counted as they go out.
    fn take_waiting(&mut self, user: u64) -> Vec<Value> {
        let waiting = self.waiting.remove(&user).unwrap_or_default();
        self.faults.done += waiting.iter().filter(|entry| entry.is_copy).count() as u64;
        if self.faults.fault() == Fault::Keep {
            let kept = waiting.iter().map(|entry| Waiting { is_copy: true, ..entry.clone() });
            self.waiting.insert(user, kept.collect());
        }
        waiting.into_iter().map(|entry| entry.message).collect()
    }
}

struct Session {
    server: Server,
    pushes: Pushes,
    broken: CancellationToken,
    /// 0 before login.
    user: u64,
}

impl Session {
    async fn on_request(&mut self, request: Value) {
        let tongue = self.server.tongue.clone();
        let state = self.server.state.clone();
        let mut state = state.lock().await;
        if state.faults.fault() == Fault::Silent {
            return;
        }
        let number = request[tongue.key].as_u64().expect("a number");
        let kind = tongue.numbers.iter().position(|known| *known == number);
        match kind {
            Some(0) => self.login(&mut state, &request),
            Some(2) => self.log_out(&mut state),
            Some(3) => self.register(&mut state, &request),
            Some(5) => self.chat(&mut state, &request).await,
            Some(6) => {
                assert!(request[tongue.friend].is_u64(), "{request}");
                state.friends += 1;
            }
            Some(7) => {
                let name = request[tongue.group_name].as_str().expect("a name").to_owned();
                state.groups.push((name, vec![self.user]));
            }
            Some(8) => {
                let group = request[tongue.group].as_u64().expect("a group") as usize;
                state.groups[group - 1].1.push(self.user);
            }
            Some(9) => self.chat(&mut state, &request).await,
            // As the course does: an unknown number is logged, and that is all.
            _ => {}
        }
    }

    fn say(&self, message: &Value) {
        let _ = self.pushes.send(self.server.tongue.encode(message));
    }

    fn register(&self, state: &mut State, request: &Value) {
        let tongue = &self.server.tongue;
        let name = request["name"].as_str().expect("a name").to_owned();
        assert!(request[tongue.password].is_string(), "{request}");
        let taken = state.users.contains(&name);
        let mut answer = json!({ tongue.key: tongue.numbers[4] });
        answer[tongue.result] = if taken { tongue.refused.clone() } else { tongue.done.clone() };
        if !taken {
            state.users.push(name);
            state.passwords.push(request[tongue.password].clone());
            answer["id"] = state.users.len().into();
        }
        self.say(&answer);
    }

    fn login(&mut self, state: &mut State, request: &Value) {
        let tongue = self.server.tongue.clone();
        let by_id = request["id"].as_u64().filter(|_| !tongue.by_name);
        let by_name = || state.users.iter().position(|name| request["name"] == **name).map(|place| place as u64 + 1);
        let user = by_id.filter(|id| (1..=state.users.len() as u64).contains(id)).or_else(by_name);
        let mut answer = json!({ tongue.key: tongue.numbers[1] });
        let may_enter = |user: &u64| {
            state.passwords[*user as usize - 1] == request[tongue.password] && !state.online.contains_key(user)
        };
        let Some(user) = user.filter(may_enter) else {
            answer[tongue.result] = tongue.refused.clone();
            return self.say(&answer);
        };
        self.user = user;
        answer[tongue.result] = tongue.done.clone();
        answer["id"] = user.into();
        let waiting = state.take_waiting(user);
        let groups = state.groups.iter().zip(1_u64..).filter(|((_, members), _)| members.contains(&user));
        let groups: Vec<Value> = groups.map(|((name, _), id)| json!({ "id": id, "groupname": name })).collect();
        let (listed, pushed) = match state.faults.fault() {
            Fault::StoreAllAndPush => (Vec::new(), waiting),
            _ => (waiting, Vec::new()),
        };
        answer["offlinemsg"] = listed.into_iter().map(|message| tongue.entry(message)).collect();
        answer["groups"] = groups.into_iter().map(|group| tongue.entry(group)).collect();
        self.say(&answer);
        pushed.iter().for_each(|message| self.say(message));
        state.online.insert(user, Online { pushes: self.pushes.clone(), broken: self.broken.clone() });
    }

    async fn chat(&self, state: &mut State, request: &Value) {
        let tongue = &self.server.tongue;
        let group = request[tongue.group].as_u64();
        let recipients: Vec<u64> = match group {
            Some(group) => {
                state.groups[group as usize - 1].1.iter().copied().filter(|user| *user != self.user).collect()
            }
            None => vec![request[tongue.to].as_u64().expect("a recipient")],
        };
        let mut message = request.clone();
        message[tongue.from] = self.user.into();
        for to in recipients {
            let line = Line { to, message: message.clone() };
            self.relay(state, line).await;
        }
    }

    async fn relay(&self, state: &mut State, line: Line) {
        match state.faults.judge((self.user, line.to), line.clone()) {
            Verdict::Store(line) => state.store(line, false),
            Verdict::Deliver(lines) => lines.into_iter().for_each(|line| self.deliver(state, line)),
            Verdict::ToSomebodyElse(line) => {
                let others = state.online.keys().copied().find(|user| ![self.user, line.to].contains(user));
                self.deliver(state, Line { to: others.expect("three users at least"), ..line });
            }
            Verdict::Break => {
                if let Some(recipient) = state.online.get(&line.to) {
                    recipient.broken.cancel();
                }
            }
            Verdict::Die => self.server.dead.cancel(),
            Verdict::Stall(lasting, line) => {
                // The state stays locked: nobody else gets anywhere either.
                tokio::time::sleep(lasting).await;
                self.deliver(state, line);
            }
        }
    }

    fn deliver(&self, state: &mut State, line: Line) {
        let Some(recipient) = state.online.get(&line.to) else { return state.store(line, false) };
        let _ = recipient.pushes.send(self.server.tongue.encode(&line.message));
        if matches!(state.faults.fault(), Fault::StoreAll | Fault::StoreAllAndPush) {
            state.store(line, true);
        }
    }

    fn log_out(&self, state: &mut State) {
        if state.online.get(&self.user).is_some_and(|online| online.pushes.same_channel(&self.pushes)) {
            state.online.remove(&self.user);
        }
    }

    async fn end(self) {
        let state = self.server.state.clone();
        self.log_out(&mut *state.lock().await);
    }
}
