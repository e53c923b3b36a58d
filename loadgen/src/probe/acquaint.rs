//! Gets to know a server that answered: registers, logs in, makes a friend, writes to one who is there and to one who
//! is not.

use super::found::{Facts, Found, Step, conclude};
use super::line::{Heard, Line};
use super::search::Answered;
use super::words::{self, FRIENDS, PASSWORDS, Person, RECIPIENTS, SENDERS};
use super::{PREFIX, Probe};
use crate::dialect::profile::{Done, Framing, Lists, LoginBy, Types};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The first writes to the others, each of whom is meant by another name of the recipient.
const PEOPLE: usize = 1 + RECIPIENTS.len();
/// Between what is not answered and what builds on it: servers take for one message whatever one read gives them.
const PAUSE: Duration = Duration::from_millis(150);
/// What our own nodes say to a wrong password.
const OUR_WORDS: &str = "wrong id, name or password";

struct Acquaintance<'p, 's> {
    probe: &'p mut Probe<'s>,
    framing: Framing,
    facts: Facts,
    steps: Vec<Step>,
    people: Vec<Person>,
    /// Whoever is logged in, in the order of the people.
    lines: [Option<Line>; PEOPLE],
    /// What the writer heard last.
    answer: Option<Value>,
}

pub(super) async fn get_to_know(probe: &mut Probe<'_>, answered: Answered) -> Found {
    let facts = Facts::of(answered.framing, answered.number);
    let (people, lines, steps) = (Vec::new(), Default::default(), Vec::new());
    let mut acquaintance = Acquaintance { probe, framing: answered.framing, facts, steps, people, lines, answer: None };
    if acquaintance.register(answered).await && acquaintance.log_in().await {
        acquaintance.make_friends().await;
        if let Some(reader) = acquaintance.write_to_who_is_there().await {
            acquaintance.write_to_who_is_away(reader).await;
        }
        acquaintance.look_at_friends().await;
        acquaintance.leave().await;
    }
    let Acquaintance { probe, facts, steps, .. } = acquaintance;
    conclude(&probe.settings.target, &facts, steps)
}

impl Acquaintance<'_, '_> {
    fn step(&mut self, what: &'static str, seen: bool, detail: String) {
        self.steps.push(Step { what, seen, detail });
    }

    fn types(&self) -> &Types {
        &self.facts.types
    }

    /// Reads the answer there is, and registers the others.
    async fn register(&mut self, answered: Answered) -> bool {
        let Answered { mut line, number, name, mut answer, .. } = answered;
        let base = name.rsplit_once('-').map_or(PREFIX, |(base, _)| base).to_owned();
        let mut name = name;
        loop {
            let Some((key, ack)) = words::type_of(&answer) else { return false };
            (self.facts.type_key, self.facts.types.register_ack) = (key, ack);
            let result = words::result_of(&answer);
            let id = ["id", "userid"].iter().find_map(|field| answer.get(*field)?.as_u64()).unwrap_or(0);
            if let Some((field, value, is_done)) = &result {
                if !is_done && id == 0 {
                    let words = words::reason_of(&answer);
                    self.step("registers", false, format!("refused: {words}"));
                    return false;
                }
                (self.facts.result, self.facts.done) = (Some(*field), done_of(value));
            }
            self.facts.login_by = if id > 0 { LoginBy::Id } else { LoginBy::Name };
            self.probe.made(&name);
            self.people.push(Person { id, name });
            if self.people.len() == PEOPLE {
                self.step("registers", true, format!("request {number}, answer {ack}"));
                return true;
            }
            name = format!("{base}-{}", ["b", "c", "d"][self.people.len() - 1]);
            let begun = Instant::now();
            let is_answer = |object: &Value| words::type_of(object) == Some((key, ack));
            let heard = line.ask(&words::register(number, &name), is_answer).await;
            self.probe.note(format!("register {name}"), heard.to_string(), begun);
            let Heard::Object(next) = heard else {
                self.step("registers", false, format!("one user, and not a second: {heard}"));
                return false;
            };
            answer = next;
        }
    }

    async fn log_in(&mut self) -> bool {
        const LAST: usize = PEOPLE - 1;
        let checks_passwords = self.try_a_wrong_password(LAST).await;
        for field in PASSWORDS.into_iter().filter(|_| checks_passwords) {
            if self.log_one_in(LAST, Some(field)).await.is_ok() {
                self.facts.password = Some(field);
                break;
            }
        }
        for place in 0..PEOPLE {
            if self.lines[place].is_some() {
                continue;
            }
            if let Err(why) = self.log_one_in(place, self.facts.password).await {
                self.step("logs in", false, why);
                return false;
            }
        }
        let by = if self.facts.login_by == LoginBy::Id { "id" } else { "name" };
        let detail = format!("by {by}, request {}, answer {}", self.types().login, self.types().login_ack);
        self.step("logs in", true, detail);
        true
    }

    /// False if it was not refused. Our own nodes are known by their words.
    async fn try_a_wrong_password(&mut self, place: usize) -> bool {
        match self.log_one_in(place, Some("none")).await {
            Ok(_) => {
                self.log_out(place).await;
                false
            }
            Err(why) => {
                self.facts.is_ours = why.contains(OUR_WORDS);
                if self.facts.is_ours && self.framing != Framing::LengthBig {
                    self.try_framed().await;
                }
                true
            }
        }
    }

    /// Our own nodes have better to offer than what answered first.
    async fn try_framed(&mut self) {
        let begun = Instant::now();
        let name = format!("{}-f", self.people[0].name);
        let Ok(mut line) = self.probe.open(Framing::LengthBig).await else { return };
        let register = json!({ "msgid": 4, "name": name, "password": words::secret("password") });
        let heard = line.ask(&register, is_result).await;
        self.probe.note("framed: register as 4".into(), heard.to_string(), begun);
        if let Heard::Object(answer) = heard
            && words::result_of(&answer).is_some_and(|(.., is_done)| is_done)
        {
            self.probe.made(&name);
            self.facts.is_framed = true;
        }
    }

    /// A session on a connection of its own, which is kept.
    async fn log_one_in(&mut self, place: usize, only: Option<&str>) -> Result<Value, String> {
        let person = self.people[place].clone();
        let begun = Instant::now();
        let with = match only {
            None => String::new(),
            Some("none") => " with a wrong password".to_owned(),
            Some(only) => format!(" with {only:?} only"),
        };
        let what = format!("log {} in{with}", person.name);
        let mut line = match self.probe.open(self.framing).await {
            Ok(line) => line,
            Err(error) => {
                self.probe.note(what, error.to_string(), begun);
                return Err(error.to_string());
            }
        };
        let heard = line.ask(&words::login(self.types().login, &person, only), is_result).await;
        self.probe.note(what, heard.to_string(), begun);
        let Heard::Object(welcome) = heard else { return Err(heard.to_string()) };
        if let Some((_, number)) = words::type_of(&welcome) {
            self.facts.types.login_ack = number;
        }
        match words::result_of(&welcome) {
            Some((_, _, false)) => Err(format!("refused: {}", words::reason_of(&welcome))),
            _ => {
                self.facts.is_framed |= self.framing == Framing::LengthBig && welcome["token"].is_string();
                if let Some(id) = welcome["id"].as_u64().filter(|id| *id > 0) {
                    self.people[place].id = id;
                }
                self.lines[place] = Some(line);
                Ok(welcome)
            }
        }
    }

    /// Some servers let only friends write to each other.
    async fn make_friends(&mut self) {
        let message = words::add_friend(self.types().add_friend, &self.people[0], &self.people[1..]);
        self.writer_says(&message).await;
    }

    /// The first of the people says something that may be answered or not; what was answered is kept.
    async fn writer_says(&mut self, message: &Value) {
        let Some(line) = &mut self.lines[0] else { return };
        line.say(message).await;
        self.answer = match line.hear_for(PAUSE).await {
            Heard::Object(answer) => Some(answer),
            _ => None,
        };
    }

    /// Who of the others gets a message that names each of them: the first is 1.
    async fn write_to_who_is_there(&mut self) -> Option<usize> {
        let text = "a probe for one who is there";
        let begun = Instant::now();
        let message = words::chat(self.types().chat, &self.people[0], &self.people[1..], text);
        self.writer_says(&message).await;
        let is_it = |object: &Value| words::text_of(object).is_some_and(|(_, said)| said == text);
        let mut readers: FuturesUnordered<_> = self.lines[1..]
            .iter_mut()
            .zip(1..)
            .filter_map(|(line, place)| Some((line.as_mut()?, place)))
            .map(|(line, place)| async move { (place, line.wait_for(is_it).await) })
            .collect();
        let mut reader = None;
        while let Some((place, heard)) = readers.next().await {
            if let Heard::Object(push) = heard {
                reader = Some((place, push));
                break;
            }
        }
        drop(readers);
        let told = reader
            .as_ref()
            .map_or("nobody got it".to_owned(), |(place, _)| format!("{:?} got it", RECIPIENTS[place - 1]));
        self.probe.note("write to who is there".into(), told.clone(), begun);
        let Some((place, push)) = reader else {
            let refused = self.answer.as_ref().map(words::reason_of);
            let refused = refused.map_or(String::new(), |words| format!("; the writer was told: {words}"));
            self.step("delivers to who is there", false, told + &refused);
            return None;
        };
        self.facts.to = Some(RECIPIENTS[place - 1]);
        let sender = self.people[0].id;
        self.facts.from = SENDERS.into_iter().find(|field| push.get(*field).and_then(Value::as_u64) == Some(sender));
        self.facts.text = words::text_of(&push).map(|(field, _)| field);
        self.step("delivers to who is there", true, format!("the recipient is {:?}", RECIPIENTS[place - 1]));
        Some(place)
    }

    async fn write_to_who_is_away(&mut self, reader: usize) {
        let text = "a probe for one who is away";
        let begun = Instant::now();
        self.log_out(reader).await;
        let message = words::chat(self.types().chat, &self.people[0], &self.people[1..], text);
        self.writer_says(&message).await;
        let seen = match self.log_one_in(reader, self.facts.password).await {
            Err(why) => Err(format!("the reader could not come back: {why}")),
            Ok(welcome) => self.find_waiting(reader, &welcome, text).await,
        };
        let told = seen.clone().unwrap_or_else(|why| why);
        self.probe.note("write to who is away".into(), told.clone(), begun);
        self.step("stores for who is away", seen.is_ok(), told);
    }

    async fn find_waiting(&mut self, reader: usize, welcome: &Value, text: &str) -> Result<String, String> {
        let listed = lists_of(welcome).find_map(|(field, kind, entries)| {
            let found = entries.iter().any(|entry| words::text_of(entry).is_some_and(|(_, said)| said == text));
            found.then(|| (field.to_owned(), kind))
        });
        if let Some((field, kind)) = listed {
            let told = format!("listed as {field:?} in the login's answer");
            (self.facts.offline, self.facts.lists) = (Some(field), Some(kind));
            return Ok(told);
        }
        let Some(line) = &mut self.lines[reader] else { return Err("nobody there".into()) };
        let heard = line.wait_for(|object| words::text_of(object).is_some_and(|(_, said)| said == text)).await;
        match heard {
            Heard::Object(_) => Ok("pushed after the login".into()),
            other => Err(format!("it did not come with the next login: {other}")),
        }
    }

    /// The login of whoever made a friend lists it.
    async fn look_at_friends(&mut self) {
        self.log_out(0).await;
        let Ok(welcome) = self.log_one_in(0, self.facts.password).await else { return };
        let friend_in = |entries: &[Value]| {
            let ids: Vec<u64> = entries.iter().filter_map(|entry| entry["id"].as_u64()).collect();
            FRIENDS.iter().zip(&self.people[1..]).find(|(_, person)| ids.contains(&person.id)).map(|(field, _)| *field)
        };
        let found = lists_of(&welcome).find_map(|(field, kind, entries)| {
            // A group lists its members one level deeper.
            friend_in(&entries).map(|friend| (field.to_owned(), kind, friend))
        });
        if let Some((field, kind, friend)) = found {
            self.step("lists friends", true, format!("made with {friend:?}, listed as {field:?}"));
            (self.facts.friends, self.facts.lists, self.facts.friend) = (Some(field), Some(kind), Some(friend));
        } else {
            self.step("lists friends", false, "the login's answer names none".into());
        }
    }

    /// Says goodbye, and hangs up.
    async fn log_out(&mut self, place: usize) {
        let message = words::logout(self.types().logout, &self.people[place]);
        if let Some(mut line) = self.lines[place].take() {
            line.say(&message).await;
            let _ = line.hear_for(PAUSE).await;
        }
        tokio::time::sleep(PAUSE).await;
    }

    async fn leave(&mut self) {
        let number = self.types().logout;
        for (line, person) in self.lines.iter_mut().zip(&self.people) {
            if let Some(line) = line {
                line.say(&words::logout(number, person)).await;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_result(object: &Value) -> bool {
    !words::is_the_servers_own(object) && words::result_of(object).is_some()
}

fn done_of(value: &Value) -> Option<Done> {
    serde_json::from_value(value.clone()).ok()
}

/// The lists of an answer, each with what it holds and its entries as objects.
fn lists_of(answer: &Value) -> impl Iterator<Item = (&str, Lists, Vec<Value>)> {
    let fields = answer.as_object().into_iter().flatten();
    fields.filter_map(|(field, value)| {
        let entries = value.as_array()?;
        let kind = if entries.first()?.is_string() { Lists::Strings } else { Lists::Objects };
        let parse = |entry: &Value| match entry.as_str() {
            Some(text) => serde_json::from_str(text).ok(),
            None => Some(entry.clone()),
        };
        Some((field.as_str(), kind, entries.iter().filter_map(parse).collect()))
    })
}
