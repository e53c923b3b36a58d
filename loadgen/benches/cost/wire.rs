//! How the load generator speaks to the bare relay: our dialect, but for the greeting, and with the sender in each
//! message, since the relay passes frames on as they are.

use crate::bare::ACK;
use chat_protocol::conversation::Target;
use chat_protocol::framing::length::{Order, enclose};
use itoa::Buffer;
use loadgen::dialect::{Ask, Chat, Framed, Incoming, Login, Welcome, Wire};
use loadgen::measure::stamp::Stamp;
use loadgen::plan::Plan;
use loadgen::world::World;
use std::ops::Range;
use uuid::Uuid;

const HEADER_BYTES: usize = 4;
/// What a message begins with; its mid comes next.
const FRONT: &str = "{\"msgid\":6,\"mid\":\"";

#[derive(Debug)]
pub struct Relayed {
    /// The pair of each user, and the side.
    seats: Vec<(u32, u8)>,
}

impl Relayed {
    pub fn new(world: &World) -> Relayed {
        let mut seats = vec![(0, 0); world.users as usize];
        for (pair, (one, other)) in world.friends.iter().enumerate() {
            seats[*one as usize] = (pair as u32, 0);
            seats[*other as usize] = (pair as u32, 1);
        }
        Relayed { seats }
    }

    /// What a user says first.
    pub fn greet(&self, user: u32, out: &mut Vec<u8>) {
        let (pair, side) = self.seats[user as usize];
        out.extend(pair.to_be_bytes());
        out.extend([side, (HEADER_BYTES + FRONT.len()) as u8]);
    }

    /// A message of the plan's size, as a whole frame.
    pub fn message(&self, plan: &Plan, user: u32) -> Vec<u8> {
        let (mut text, mut frame) = (String::new(), Vec::new());
        Stamp { run: 1, stream: user, number: 1_000_000, due: 10_000_000 }.write(plan.body, &mut text);
        let (from, to, mid) = (u64::from(user) + 1, Target::User(1), Uuid::max());
        self.chat(Chat { from, from_name: "", to, text: &text, mid, qos: plan.qos }, &mut frame);
        frame
    }

    pub fn frame_bytes(&self, plan: &Plan) -> usize {
        self.message(plan, 0).len()
    }
}

impl Wire for Relayed {
    fn split(&self, bytes: &[u8]) -> Result<Option<(Range<usize>, usize)>, String> {
        Framed.split(bytes)
    }

    fn read<'a>(&self, payload: &'a [u8]) -> Result<Incoming<'a>, String> {
        // The answer to the greeting acknowledges no message.
        if payload == &ACK[HEADER_BYTES..] {
            return Ok(Incoming::Welcome(Box::new(Welcome { node: Some("relay".into()), ..Welcome::default() })));
        }
        Framed.read(payload)
    }

    fn login(&self, login: Login<'_>, out: &mut Vec<u8>) {
        let user = login.id.expect("every account is known") - 1;
        self.greet(user as u32, out);
    }

    fn chat(&self, chat: Chat<'_>, out: &mut Vec<u8>) {
        let Chat { from, to, text, mid, qos, .. } = chat;
        let (Target::User(to) | Target::Group(to)) = to;
        let (mut mid_text, mut from_text, mut to_text) = (Uuid::encode_buffer(), Buffer::new(), Buffer::new());
        let pieces = [
            FRONT,
            mid.hyphenated().encode_lower(&mut mid_text),
            r#"","id":"#,
            from_text.format(from),
            r#","toid":"#,
            to_text.format(to),
            r#","msg":""#,
            text,
            if qos == 0 { r#"","qos":0}"# } else { r#"","qos":1}"# },
        ];
        enclose(out, Order::Big, |out| pieces.iter().for_each(|piece| out.extend_from_slice(piece.as_bytes())));
    }

    fn ask(&self, _id: u64, _ask: Ask<'_>, _mid: Uuid, _out: &mut Vec<u8>) {}

    fn received(&self, _conv: &str, _seq: u64, _out: &mut Vec<u8>) {}

    fn pong(&self, _out: &mut Vec<u8>) {}

    fn acknowledges(&self) -> bool {
        true
    }

    fn answers(&self, _ask: &Ask<'_>) -> bool {
        false
    }
}
