//! What follows from a line of the catalogue.

/// Makes `Kind`, `Command`, `Reply`, `msgid` and `CATALOGUE` of one line a request. Chat is written out here: two
/// requests that differ in whom they are for, and one reply.
macro_rules! catalogue {
    ($($kind:ident($ask:ty) = $name:ident $number:literal [$($checked:literal)?]
        $(-> $($answer:ident)? $answer_number:literal ($reply:ty))?;)*) => {
        /// The numbers of the framed dialect, and, up to 10, of the bare one.
        pub mod msgid {
            pub const ERROR: u64 = 0;
            pub const ONE_CHAT: u64 = 6;
            pub const GROUP_CHAT: u64 = 10;
            pub const CHAT_ACK: u64 = 12;
            pub const NOTICE: u64 = 21;
            pub const EVENT: u64 = 31;
            $(pub const $name: u64 = $number; $($(pub const $answer: u64 = $answer_number;)?)?)*
        }

        /// Which request is asked, and so which reply answers it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::VariantArray)]
        pub enum Kind {
            /// A request whose `msgid` is unknown or only a node's: answered with ERROR.
            Unknown,
            OneChat,
            GroupChat,
            $($kind),*
        }

        impl Kind {
            /// What a client asks for under this number; [`Kind::Unknown`] if nothing, or if only a node says it.
            pub(crate) fn asked_for(dialect: Dialect, number: u64) -> Kind {
                match dialect {
                    Dialect::Framed => Kind::numbered(number),
                    Dialect::Bare if Kind::numbered(number).checked_number().is_some() => Kind::numbered(number),
                    Dialect::Bare => Kind::Unknown,
                    Dialect::Checked => match number {
                        6 => Kind::OneChat,
                        8 => Kind::GroupChat,
                        $($($checked => Kind::$kind,)?)*
                        _ => Kind::Unknown,
                    },
                }
            }

            fn numbered(number: u64) -> Kind {
                match number {
                    msgid::ONE_CHAT => Kind::OneChat,
                    msgid::GROUP_CHAT => Kind::GroupChat,
                    $($number => Kind::$kind,)*
                    _ => Kind::Unknown,
                }
            }

            /// Its number in the framed dialect; `None` where it has none.
            pub fn number(self) -> Option<u64> {
                match self {
                    Kind::Unknown => None,
                    Kind::OneChat => Some(msgid::ONE_CHAT),
                    Kind::GroupChat => Some(msgid::GROUP_CHAT),
                    $(Kind::$kind => Some($number),)*
                }
            }

            /// Its number in the checked dialect; `None`: the classic dialects do not have it.
            pub fn checked_number(self) -> Option<u64> {
                match self {
                    Kind::Unknown => None,
                    Kind::OneChat => Some(6),
                    Kind::GroupChat => Some(8),
                    $(Kind::$kind => one(&[$($checked)?]),)*
                }
            }

            /// The number of the reply; `None`: it is not answered.
            pub fn reply_number(self) -> Option<u64> {
                match self {
                    Kind::Unknown => Some(msgid::ERROR),
                    Kind::OneChat | Kind::GroupChat => Some(msgid::CHAT_ACK),
                    $(Kind::$kind => one(&[$($answer_number)?]),)*
                }
            }
        }

        /// What a request asks for. Names are already in Unicode NFC and of lawful length.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Command {
            Chat(Chat),
            $($kind($ask)),*
        }

        impl Command {
            pub fn kind(&self) -> Kind {
                match self {
                    Command::Chat(Chat { to: Target::User(_), .. }) => Kind::OneChat,
                    Command::Chat(Chat { to: Target::Group(_), .. }) => Kind::GroupChat,
                    $(Command::$kind(_) => Kind::$kind),*
                }
            }

            /// Reads the fields of a request.
            pub(crate) fn read(kind: Kind, reader: &mut Reader<'_, '_>) -> Result<Command, Failure> {
                match kind {
                    Kind::Unknown => Err(Errno::UnknownMsgid.into()),
                    Kind::OneChat => Chat::read_to_user(reader).map(Command::Chat),
                    Kind::GroupChat => Chat::read_to_group(reader).map(Command::Chat),
                    $(Kind::$kind => <$ask>::read(reader).map(Command::$kind)),*
                }
            }

            /// Appends the request as a client of the framed dialect says it, length included.
            pub fn write(&self, mid: Option<Uuid>, out: &mut Vec<u8>) {
                match self {
                    Command::Chat(Chat { to, msg, stored, mid: own, .. }) => {
                        write_chat(own.or(mid).unwrap_or_default(), *to, msg, u8::from(*stored), out);
                    }
                    $(Command::$kind(fields) => write($number, mid, fields, out)),*
                }
            }
        }

        /// The body of a reply to a request that was done. To a node a conversation is a [`Log`] and a message a
        /// [`ChatMessage`]; a client has its own types of both.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Reply<C = Log, M = ChatMessage> {
            /// `None`: relayed (`qos` 0), not stored.
            Chat(Option<Stored<C>>),
            $($($kind($reply),)?)*
        }

        impl Reply {
            pub(crate) fn write(&self, answer: Answer<'_>) {
                type C = Log;
                type M = ChatMessage;
                match self {
                    Reply::Chat(stored) => stored.write(answer),
                    $($(Reply::$kind(body) => <$reply as Body>::write(body, answer),)?)*
                }
            }
        }

        impl<C: DeserializeOwned, M: DeserializeOwned> Reply<C, M> {
            /// Reads the reply with this number, if it is one; CHAT_ACK is read otherwise.
            pub(crate) fn read(number: u64, frame: &[u8]) -> Option<serde_json::Result<Self>> {
                match number {
                    $($($answer_number => Some(serde_json::from_slice(frame).map(Reply::$kind)),)?)*
                    _ => None,
                }
            }
        }

        /// All messages, with the fields that they may have beyond `msgid`, `mid`, `errno` and one's own `id`.
        pub const CATALOGUE: &[Entry] = {
            type C = Log;
            type M = ChatMessage;
            use Sender::{Client, Node};
            &[
                entry(msgid::ERROR, "ERROR", Node, &[]),
                entry(msgid::ONE_CHAT, "ONE_CHAT", Client, Chat::TO_USER),
                entry(msgid::ONE_CHAT, "ONE_CHAT", Node, Push::TO_USER),
                entry(msgid::GROUP_CHAT, "GROUP_CHAT", Client, Chat::TO_GROUP),
                entry(msgid::GROUP_CHAT, "GROUP_CHAT", Node, Push::TO_GROUP),
                entry(msgid::CHAT_ACK, "CHAT_ACK", Node, <Option<Stored> as Body>::FIELDS),
                entry(msgid::PING, "PING", Node, &[]),
                entry(msgid::PONG, "PONG", Node, ServerTime::FIELDS),
                entry(msgid::NOTICE, "NOTICE", Node, &["errno", "errmsg", "retry_ms"]),
                entry(msgid::EVENT, "EVENT", Node, Event::FIELDS),
                $(
                    entry($number, stringify!($name), Client, <$ask as Ask>::FIELDS),
                    $($(entry(msgid::$answer, stringify!($answer), Node, <$reply as Body>::FIELDS),)?)?
                )*
            ]
        };
    };
}
