//! What the new database will hold, worked out in memory.
//!
//! The classic tables promise little: names may repeat, friendship may be one-sided, and rows may point at nobody. Ours
//! promise more, so what does not fit is mended where that loses nothing, and reported in any case.

use super::classic::{Classic, Group, Member, Offline, User};
use super::offline;
use super::report::{MigrationReport, Problem, Renamed};
use chat_protocol::conversation::{Conversation, GroupId, MAX_ID, UserId};
use chat_protocol::message::{SentAs, TimeMs};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use unicode_normalization::UnicodeNormalization;

/// What the columns, and the protocol, hold of names and descriptions.
const NAME_CHARACTERS: usize = 50;
const DESCRIPTION_CHARACTERS: usize = 200;

#[derive(Debug, Default)]
pub struct Plan {
    pub users: Vec<PlannedUser>,
    /// The smaller id first.
    pub friends: BTreeSet<(UserId, UserId)>,
    pub groups: Vec<PlannedGroup>,
    /// Whether each member is the creator.
    pub roles: BTreeMap<(GroupId, UserId), bool>,
    pub conversations: BTreeMap<Conversation, PlannedConversation>,
}

#[derive(Debug)]
pub struct PlannedUser {
    pub id: UserId,
    pub name: String,
    pub password: String,
}

#[derive(Debug)]
pub struct PlannedGroup {
    pub id: GroupId,
    pub name: String,
    pub description: String,
}

#[derive(Debug, Default)]
pub struct PlannedConversation {
    pub members: BTreeSet<UserId>,
    /// The first has seq 1.
    pub messages: Vec<PlannedMessage>,
    /// The seq of the first message that waits for a member.
    pub first_waiting: BTreeMap<UserId, u64>,
}

#[derive(Debug)]
pub struct PlannedMessage {
    pub sender: UserId,
    pub msg: String,
    pub time: Option<TimeMs>,
    pub sent_as: SentAs,
}

impl PlannedConversation {
    /// Everything has been received but from the first waiting message on. A cursor cannot leave out what lies between
    /// two waiting messages: of a group's messages, some may come a second time.
    pub fn cursor(&self, member: UserId) -> u64 {
        self.first_waiting.get(&member).map_or(self.messages.len() as u64, |seq| seq - 1)
    }
}

/// Adds to the report of the repairs before.
pub fn plan(classic: Classic, report: MigrationReport) -> (Plan, MigrationReport) {
    let mut planner = Planner { report, ..Planner::default() };
    planner.users(classic.users);
    planner.friends(&classic.friends);
    planner.groups(classic.groups);
    planner.members(&classic.members);
    planner.offline(&classic.offline);
    planner.report.users = planner.plan.users.len();
    planner.report.friendships = planner.plan.friends.len();
    planner.report.groups = planner.plan.groups.len();
    planner.report.group_members = planner.plan.roles.len();
    planner.report.messages = planner.plan.conversations.values().map(|conv| conv.messages.len()).sum();
    (planner.plan, planner.report)
}

#[derive(Default)]
struct Planner {
    plan: Plan,
    report: MigrationReport,
    user_ids: HashSet<UserId>,
    group_ids: HashSet<GroupId>,
}

impl Planner {
    fn problem(&mut self, table: &'static str, row: impl Into<String>, reason: impl Into<String>) {
        self.report.problems.push(Problem { table, row: row.into(), reason: reason.into() });
    }

    fn users(&mut self, users: Vec<User>) {
        let mut lawful = Vec::with_capacity(users.len());
        for user in users {
            let row = format!("id {}, name {:?}", user.id, user.name);
            let Some(id) = lawful_id(user.id).filter(|id| self.user_ids.insert(*id)) else {
                self.problem("user", row, "its id is not a positive number of its own; not taken over");
                continue;
            };
            if user.password.is_empty() {
                self.problem("user", row, "its password is empty, with which nobody can log in; taken over as it is");
            }
            lawful.push((id, user));
        }
        let names = self.names("user", lawful.iter().map(|(id, user)| (*id, &*user.name)).collect());
        let named = lawful.into_iter().zip(names);
        self.plan.users = named.map(|((id, user), name)| PlannedUser { id, name, password: user.password }).collect();
    }

    fn friends(&mut self, friends: &[(i64, i64)]) {
        for (user, friend) in friends {
            match (self.user(*user), self.user(*friend)) {
                (Some(user), Some(friend)) if user != friend => {
                    self.plan.friends.insert((user.min(friend), user.max(friend)));
                    self.conversation(Conversation::direct(user, friend));
                }
                (Some(_), Some(_)) => self.problem("friend", format!("userid {user}"), "a friend of oneself"),
                _ => self.problem("friend", format!("userid {user}, friendid {friend}"), "no such user"),
            }
        }
    }

    fn groups(&mut self, groups: Vec<Group>) {
        let mut lawful = Vec::with_capacity(groups.len());
        for group in groups {
            let Some(id) = lawful_id(group.id).filter(|id| self.group_ids.insert(*id)) else {
                let row = format!("id {}, groupname {:?}", group.id, group.name);
                self.problem("allgroup", row, "its id is not a positive number of its own; not taken over");
                continue;
            };
            let description: String = group.description.chars().take(DESCRIPTION_CHARACTERS).collect();
            if description != group.description {
                self.problem("allgroup", format!("id {id}, groupdesc {:?}", group.description), "too long; cut");
            }
            self.plan.conversations.entry(Conversation::Group(id)).or_default();
            lawful.push((id, group.name, description));
        }
        let names = self.names("allgroup", lawful.iter().map(|(id, name, _)| (*id, &**name)).collect());
        let named = lawful.into_iter().zip(names);
        self.plan.groups = named.map(|((id, _, description), name)| PlannedGroup { id, name, description }).collect();
    }

    fn members(&mut self, members: &[Member]) {
        let mut creators: HashMap<GroupId, UserId> = HashMap::new();
        for member in members {
            let row = format!("groupid {}, userid {}", member.group, member.user);
            let group = lawful_id(member.group).filter(|group| self.group_ids.contains(group));
            let (Some(group), Some(user)) = (group, self.user(member.user)) else {
                self.problem("groupuser", row, "no such group or user");
                continue;
            };
            let is_creator = member.role == "creator";
            if is_creator && *creators.entry(group).or_insert(user) != user {
                self.problem("groupuser", row, "the group has a creator already; taken over as a normal member");
            }
            self.plan.roles.entry((group, user)).or_insert(false);
            self.plan.conversations.entry(Conversation::Group(group)).or_default().members.insert(user);
        }
        for (group, user) in creators {
            self.plan.roles.insert((group, user), true);
        }
        self.crown_leaderless_groups();
    }

    /// Every group with members has a creator: the member with the smallest id, if the tables say none.
    fn crown_leaderless_groups(&mut self) {
        let led: HashSet<GroupId> =
            self.plan.roles.iter().filter(|(_, is_creator)| **is_creator).map(|((group, _), _)| *group).collect();
        let mut crowned = led;
        for ((group, _), is_creator) in &mut self.plan.roles {
            if crowned.insert(*group) {
                *is_creator = true;
            }
        }
    }

    fn offline(&mut self, rows: &[Offline]) {
        // A message to a group lies there once for every member who was away: they are one, said once.
        let mut said: HashMap<(Conversation, &str, usize), u64> = HashMap::new();
        let mut repetitions: HashMap<(UserId, &str), usize> = HashMap::new();
        for row in rows {
            let (user, parsed) = match self.parse(row) {
                Ok(parsed) => parsed,
                Err(reason) => {
                    self.problem("offlinemessage", format!("userid {}, message {}", row.user, row.message), reason);
                    continue;
                }
            };
            let nth = repetitions.entry((user, &row.message)).or_default();
            *nth += 1;
            let conversation = match parsed.conv {
                Conversation::Direct(..) => self.conversation(parsed.conv),
                Conversation::Group(_) => self.plan.conversations.entry(parsed.conv).or_default(),
            };
            let seq = *said.entry((parsed.conv, &row.message, *nth)).or_insert_with(|| {
                let offline::Parsed { sender, msg, time, sent_as, .. } = parsed;
                conversation.messages.push(PlannedMessage { sender, msg, time, sent_as });
                conversation.messages.len() as u64
            });
            let first = conversation.first_waiting.entry(user).or_insert(seq);
            *first = seq.min(*first);
        }
    }

    fn parse(&self, row: &Offline) -> Result<(UserId, offline::Parsed), String> {
        let user = self.user(row.user).ok_or("it waits for a user who does not exist")?;
        let parsed = offline::parse(user, &row.message)?;
        if !self.user_ids.contains(&parsed.sender) {
            return Err(format!("its sender {} does not exist", parsed.sender));
        }
        if let Conversation::Group(group) = parsed.conv {
            if !self.group_ids.contains(&group) {
                return Err(format!("its group {group} does not exist"));
            }
            if !self.plan.roles.contains_key(&(group, user)) {
                return Err(format!("it waits for a user who is not in its group {group}"));
            }
        }
        Ok((user, parsed))
    }

    fn user(&self, id: i64) -> Option<UserId> {
        lawful_id(id).filter(|id| self.user_ids.contains(id))
    }

    /// The conversation with both users in it, friends or not: what waits from a former friend still arrives.
    fn conversation(&mut self, conv: Conversation) -> &mut PlannedConversation {
        let conversation = self.plan.conversations.entry(conv).or_default();
        if let Conversation::Direct(low, high) = conv {
            conversation.members.extend([low, high]);
        }
        conversation
    }

    /// Lawful names, each once and as close to the old one as can be. Of several with the same name, the first keeps
    /// it.
    fn names(&mut self, table: &'static str, old: Vec<(u64, &str)>) -> Vec<String> {
        let lawful: Vec<String> = old.iter().map(|(id, name)| lawful_name(*id, name)).collect();
        let mut taken: HashSet<String> = lawful.iter().cloned().collect();
        let mut seen = HashSet::new();
        let mut names = Vec::with_capacity(old.len());
        for ((id, old), lawful) in old.into_iter().zip(&lawful) {
            let name = if seen.insert(lawful) { lawful.clone() } else { with_suffix(lawful, &mut taken) };
            if name != old {
                self.report.renamed.push(Renamed { table, id, from: old.to_owned(), to: name.clone() });
            }
            names.push(name);
        }
        names
    }
}

/// As the protocol takes names: composed, without control characters, and without white space around it.
fn lawful_name(id: u64, old: &str) -> String {
    let name: String = old.trim().nfc().filter(|c| !c.is_control()).take(NAME_CHARACTERS).collect();
    match name.trim() {
        "" => id.to_string(),
        name => name.to_owned(),
    }
}

fn with_suffix(base: &str, taken: &mut HashSet<String>) -> String {
    let mut suffix = 2_u64;
    loop {
        let end = format!("-{suffix}");
        let name: String = base.chars().take(NAME_CHARACTERS - end.len()).chain(end.chars()).collect();
        if taken.insert(name.clone()) {
            return name;
        }
        suffix += 1;
    }
}

fn lawful_id(id: i64) -> Option<u64> {
    u64::try_from(id).ok().filter(|id| (1..MAX_ID).contains(id))
}

#[cfg(test)]
mod tests;
