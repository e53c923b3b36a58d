//! `database.url` where it names servers: one or several, in the order in which they are preferred.
//!
//! The URL of a MySQL has one host. Ours may list several that hold the same data; each becomes a URL of its own here,
//! with the same user, database and options.

/// What such a URL looks like.
pub const FORM: &str = "mysql://user:password@host:port/database, also with several hosts, as in @h1,h2:3307,[::1]/";
/// Servers in the list: as many as a group has members at most.
pub const MAX_SERVERS: usize = 9;

const SCHEMES: [&str; 2] = ["mysql://", "mariadb://"];
const DEFAULT_PORT: u16 = 3306;

/// A `database.url` of MySQL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// The preferred one first.
    pub servers: Vec<ServerUrl>,
    pub database: String,
}

/// One server of the list.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    /// `host:port`, for people.
    pub place: String,
    /// Of this server alone.
    pub url: String,
}

impl std::fmt::Debug for ServerUrl {
    /// The URL holds a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerUrl").field(&self.place).finish()
    }
}

impl DatabaseUrl {
    /// Takes a URL apart; at most [`MAX_SERVERS`] hosts, each once.
    ///
    /// # Errors
    /// What is wrong, without any part of the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scheme = SCHEMES.into_iter().find(|scheme| text.starts_with(scheme));
        let scheme = scheme.ok_or_else(|| "it does not begin with mysql://".to_owned())?;
        let rest = &text[scheme.len()..];
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let database = path.strip_prefix('/').unwrap_or_default();
        let database = &database[..database.find(['?', '#']).unwrap_or(database.len())];
        if database.is_empty() || database.contains('/') {
            return Err("it names no database after the hosts".into());
        }
        let mut servers: Vec<ServerUrl> = Vec::new();
        for (nth, host) in hosts.split(',').enumerate() {
            let place = place(host).map_err(|why| format!("host {}: {why}", nth + 1))?;
            if servers.iter().any(|server| server.place == place) {
                return Err(format!("host {}: {place} is listed twice", nth + 1));
            }
            servers.push(ServerUrl { url: format!("{scheme}{user}{place}{path}"), place });
        }
        if servers.len() > MAX_SERVERS {
            return Err(format!("it lists {} hosts, and {MAX_SERVERS} is the most", servers.len()));
        }
        match servers.iter().all(|server| url::Url::parse(&server.url).is_ok_and(|url| url.has_host())) {
            true => Ok(DatabaseUrl { servers, database: database.to_owned() }),
            false => Err("characters in user, password or host must be percent-encoded".into()),
        }
    }
}

/// `host:port` of one of the list.
fn place(text: &str) -> Result<String, String> {
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_fine = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
    };
    if !is_fine {
        return Err(format!("{host:?} is neither a name nor an address (IPv6 in brackets)"));
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => DEFAULT_PORT,
        number => number
            .and_then(|number| number.parse().ok())
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("{port:?} is no port"))?,
    };
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_becomes_a_url_of_its_own() {
        let check = |text: &str, expected: &[(&str, &str)], database: &str| {
            let parsed = DatabaseUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            let servers: Vec<(&str, &str)> =
                parsed.servers.iter().map(|server| (server.place.as_str(), server.url.as_str())).collect();
            assert_eq!((&servers[..], parsed.database.as_str()), (expected, database), "{text}");
        };
        check("mysql://h/chat", &[("h:3306", "mysql://h:3306/chat")], "chat");
        check("mariadb://u@10.0.0.1:1/c", &[("10.0.0.1:1", "mariadb://u@10.0.0.1:1/c")], "c");
        check(
            "mysql://u:p%40@h1,h2:3307,[::1],[fe80::2]:3308/chat?ssl-mode=required",
            &[
                ("h1:3306", "mysql://u:p%40@h1:3306/chat?ssl-mode=required"),
                ("h2:3307", "mysql://u:p%40@h2:3307/chat?ssl-mode=required"),
                ("[::1]:3306", "mysql://u:p%40@[::1]:3306/chat?ssl-mode=required"),
                ("[fe80::2]:3308", "mysql://u:p%40@[fe80::2]:3308/chat?ssl-mode=required"),
            ],
            "chat",
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        let check = |text: &str, expected: &str| {
            let why = DatabaseUrl::parse(text).expect_err(text);
            assert!(why.contains(expected) && !why.contains("secret"), "{text}: {why}");
        };
        check("postgres://h/d", "mysql://");
        check("mysql:chat", "mysql://");
        check("mysql://u:secret@h", "no database");
        check("mysql://u:secret@h/", "no database");
        check("mysql://u:secret@h/a/b", "no database");
        check("mysql://u:secret@/d", "host 1: \"\" is neither");
        check("mysql://u:secret@h1,/d", "host 2: \"\" is neither");
        check("mysql://u:secret@h1,h 2/d", "host 2: \"h 2\" is neither");
        check("mysql://u:secret@h1,::1/d", "host 2: \"\" is neither");
        check("mysql://u:secret@h1,[::x]/d", "host 2: \"[::x]\" is neither");
        check("mysql://u:secret@h1:0/d", "host 1: \":0\" is no port");
        check("mysql://u:secret@h1:70000/d", "is no port");
        check("mysql://u:secret@[::1]3306/d", "\"3306\" is no port");
        check("mysql://u:secret@h,h:3306/d", "host 2: h:3306 is listed twice");
        check("mysql://u:secret@a,b,c,d,e,f,g,h,i,j/d", "10 hosts, and 9 is the most");
    }
}
