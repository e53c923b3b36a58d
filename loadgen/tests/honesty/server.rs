//! A chat server of one page that can be told to fail its clients in one way, and counts how often it did.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

/// What the server does wrong, to every so many messages or once.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    None,
    /// Acknowledged and not delivered.
    Drop {
        every: u64,
    },
    /// Acknowledged, and pushed only after the recipient's next login.
    StoreOnly {
        every: u64,
    },
    /// Neither.
    Swallow {
        every: u64,
    },
    /// For now: to be sent again.
    Refuse {
        every: u64,
    },
    /// Every message is refused, so many times over.
    RefuseAll {
        errno: u64,
        retry_ms: Option<u64>,
        times: u32,
    },
    Twice {
        every: u64,
    },
    /// Delivered after the one that follows it to the same user.
    Swap {
        every: u64,
    },
    WrongUser {
        every: u64,
    },
    Alter {
        every: u64,
    },
    Stall {
        at: u64,
        pause: Duration,
    },
    /// Nothing is ever said.
    Silent,
    /// Logins work, messages lead nowhere.
    NoDelivery,
    OtherProtocol,
    Die {
        at: u64,
    },
}

#[derive(Default)]
struct State {
    names: HashMap<String, u64>,
    online: HashMap<u64, mpsc::UnboundedSender<Vec<u8>>>,
    seqs: HashMap<(u64, u64), u64>,
    stored: HashMap<u64, Vec<Vec<u8>>>,
    /// Held back until the next one to the same user has gone.
    held: HashMap<u64, Vec<u8>>,
}

pub struct Server {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Fault,
    state: Mutex<State>,
    chats: AtomicU64,
    done: AtomicU64,
    dead: CancellationToken,
}

impl Server {
    pub async fn start(fault: Fault) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (chats, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Shared { fault, state: Mutex::default(), chats, done, dead: CancellationToken::new() };
        let shared = Arc::new(shared);
        let serving = shared.clone();
        tokio::spawn(async move {
            let dead = serving.dead.clone();
            let accepting = async {
                while let Ok((stream, _)) = listener.accept().await {
                    let (serving, dead) = (serving.clone(), dead.clone());
                    tokio::spawn(async move { dead.run_until_cancelled(serve(stream, serving)).await });
                }
            };
            dead.run_until_cancelled(accepting).await
        });
        Server { address, shared }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// How often the fault was done.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// How many messages still wait to be swapped with a later one.
    pub async fn held(&self) -> u64 {
        self.shared.state.lock().await.held.len() as u64
    }

    pub fn chats(&self) -> u64 {
        self.shared.chats.load(Ordering::SeqCst)
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let (mut reader, mut writer) = stream.into_split();
    let (sender, mut frames) = mpsc::unbounded_channel::<Vec<u8>>();
    let dead = shared.dead.clone();
    tokio::spawn(async move {
        let writing = async {
            while let Some(frame) = frames.recv().await {
                if writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
        };
        dead.run_until_cancelled(writing).await
    });
    let mut me = 0;
    while let Some(request) = read(&mut reader).await {
        match shared.fault {
            Fault::Silent => continue,
            Fault::OtherProtocol => drop(sender.send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())),
            _ => shared.answer(&request, &mut me, &sender).await,
        }
    }
    shared.state.lock().await.online.remove(&me);
}

async fn read(reader: &mut OwnedReadHalf) -> Option<Value> {
    let length = reader.read_u32().await.ok()?;
    let mut body = vec![0; length as usize];
    reader.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn frame(value: &Value) -> Vec<u8> {
    let body = value.to_string().into_bytes();
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

impl Shared {
    async fn answer(&self, request: &Value, me: &mut u64, out: &mpsc::UnboundedSender<Vec<u8>>) {
        let say = |value: Value| drop(out.send(frame(&value)));
        let mid = &request["mid"];
        match request["msgid"].as_u64() {
            Some(4) => {
                let id = self.id_of(&request["name"]).await;
                say(json!({ "msgid": 5, "mid": mid, "errno": 0, "id": id }));
            }
            Some(1) => {
                *me = match request["id"].as_u64() {
                    Some(id) => id,
                    None => self.id_of(&request["name"]).await,
                };
                self.state.lock().await.online.insert(*me, out.clone());
                say(json!({
                    "msgid": 2, "errno": 0, "id": me, "name": "", "token": "t", "node": "one",
                    "version": 1, "server": "test", "time": 0, "heartbeat_s": 30, "friends": [], "groups": [],
                    "offline": 0, "caps": [], "max_frame_bytes": 65536,
                }));
                let stored = self.state.lock().await.stored.remove(me).unwrap_or_default();
                stored.into_iter().for_each(|push| drop(out.send(push)));
            }
            Some(3) => say(json!({ "msgid": 11, "mid": mid, "errno": 0 })),
            Some(7) => say(json!({
                "msgid": 13, "mid": mid, "errno": 0, "id": request["friendid"], "name": "", "state": "online",
            })),
            Some(6) => self.chat(request, *me, out).await,
            _ => {}
        }
    }

    async fn id_of(&self, name: &Value) -> u64 {
        let mut state = self.state.lock().await;
        let next = state.names.len() as u64 + 1;
        *state.names.entry(name.as_str().unwrap_or_default().to_owned()).or_insert(next)
    }

    async fn chat(&self, request: &Value, me: u64, out: &mpsc::UnboundedSender<Vec<u8>>) {
        let to = request["toid"].as_u64().unwrap_or(0);
        // One lock around everything: a stall stalls everybody, and order is what it is.
        let mut state = self.state.lock().await;
        let count = self.chats.fetch_add(1, Ordering::SeqCst) + 1;
        let due = |every: u64| count.is_multiple_of(every);
        let did = || self.done.fetch_add(1, Ordering::SeqCst);
        if let Fault::Refuse { every } = self.fault
            && due(every)
        {
            did();
            let refusal = json!({ "msgid": 12, "mid": request["mid"], "errno": 11, "errmsg": "busy", "retry_ms": 300 });
            let _ = out.send(frame(&refusal));
            return;
        }
        if let Fault::RefuseAll { errno, retry_ms, times } = self.fault {
            did();
            let refusal =
                json!({ "msgid": 12, "mid": request["mid"], "errno": errno, "errmsg": "no", "retry_ms": retry_ms });
            (0..times).for_each(|_| drop(out.send(frame(&refusal))));
            return;
        }
        let seq = state.seqs.entry((me.min(to), me.max(to))).or_default();
        *seq += 1;
        let conv = format!("d{}-{}", me.min(to), me.max(to));
        let mut push = json!({
            "msgid": 6, "conv": conv, "seq": *seq, "id": me, "name": "", "toid": to,
            "msg": request["msg"], "time": 1, "mid": request["mid"],
        });
        let ack =
            frame(&json!({ "msgid": 12, "mid": request["mid"], "errno": 0, "conv": conv, "seq": *seq, "time": 1 }));
        let (mut recipient, mut copies) = (to, 1);
        match self.fault {
            Fault::NoDelivery => return,
            Fault::Swallow { every } if due(every) => {
                did();
                return;
            }
            Fault::Drop { every } if due(every) => copies = 0,
            Fault::StoreOnly { every } if due(every) => {
                copies = 0;
                state.stored.entry(to).or_default().push(frame(&push));
            }
            Fault::Twice { every } if due(every) => copies = 2,
            Fault::WrongUser { every } if due(every) => {
                recipient = *state.online.keys().find(|user| **user != to && **user != me).expect("a third user");
            }
            Fault::Alter { every } if due(every) => {
                let text = request["msg"].as_str().unwrap_or_default();
                push["msg"] = format!("{}#", &text[..text.len() - 1]).into();
            }
            Fault::Stall { at, pause } if count == at => tokio::time::sleep(pause).await,
            Fault::Die { at } if count == at => self.dead.cancel(),
            Fault::Swap { every } if due(every) && !state.held.contains_key(&(me << 32 | to)) => {
                let _ = out.send(ack);
                state.held.insert(me << 32 | to, frame(&push));
                return;
            }
            _ => {}
        }
        let faulty = copies != 1 || recipient != to || push["msg"] != request["msg"];
        let stalled = matches!(self.fault, Fault::Stall { at, .. } if count == at);
        if faulty || stalled {
            did();
        }
        let _ = out.send(ack);
        let Some(socket) = state.online.get(&recipient).cloned() else { return };
        for _ in 0..copies {
            let _ = socket.send(frame(&push));
        }
        if let Some(held) = state.held.remove(&(me << 32 | to)) {
            did();
            let _ = socket.send(held);
        }
    }
}
