//! What a key is that a profile leaves out: as in the classic course project.
//!
//! `profiles/course.toml` says the same for people; a test keeps the two together.

use super::{Done, Fields, Framing, Lists, LoginBy, Profile, Request, Types};

impl Default for Profile {
    fn default() -> Self {
        Profile {
            description: String::new(),
            framing: Framing::BareNul,
            type_key: "msgid".into(),
            done: Done::Number(0),
            lists: Lists::Strings,
            login_by: LoginBy::Id,
            answered: vec![Request::Login, Request::Register],
            outstanding: 1,
            types: Types::default(),
            fields: Fields::default(),
        }
    }
}

impl Default for Types {
    fn default() -> Self {
        Types {
            login: 1,
            login_ack: 2,
            logout: 3,
            logout_ack: None,
            register: 4,
            register_ack: 5,
            chat: 6,
            chat_ack: None,
            group_chat: 10,
            group_chat_ack: None,
            add_friend: 7,
            add_friend_ack: None,
            create_group: 8,
            create_group_ack: None,
            join_group: 9,
            join_group_ack: None,
        }
    }
}

impl Default for Fields {
    fn default() -> Self {
        let field = str::to_owned;
        Fields {
            id: field("id"),
            from: field("id"),
            name: field("name"),
            password: field("password"),
            to: field("toid"),
            group: field("groupid"),
            friend: field("friendid"),
            group_name: field("groupname"),
            group_desc: field("groupdesc"),
            listed_name: field("groupname"),
            text: field("msg"),
            time: field("time"),
            result: field("errno"),
            reason: field("errmsg"),
            offline: field("offlinemsg"),
            friends: field("friends"),
            groups: field("groups"),
        }
    }
}
