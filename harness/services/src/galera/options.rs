//! What makes a server a member of a Galera cluster, be it a process or a container.

/// Where Debian's galera-4 has it.
pub(super) const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
/// A member that was silent for 1 s is asked about, and put out of the group after 3 s at most.
const DETECTION: &str = "evs.suspect_timeout=PT1S;evs.inactive_timeout=PT3S;evs.keepalive_period=PT0.3S;\
                         evs.inactive_check_period=PT0.3S";

/// The name of a member, by its place from 0.
pub fn name(place: usize) -> String {
    format!("database-{}", place + 1)
}

/// The options of a member, by its place from 0 among the addresses of all. `provider`: what Galera's provider is told
/// beside how soon a dead member is noticed.
pub fn options(place: usize, addresses: &[String], provider: &[&str]) -> Vec<String> {
    let provider = [&[DETECTION][..], provider].concat().join(";");
    let options = [
        "wsrep-on=ON".to_owned(),
        format!("wsrep-provider={PROVIDER}"),
        "binlog-format=ROW".to_owned(),
        "innodb-autoinc-lock-mode=2".to_owned(),
        "wsrep-cluster-name=chat".to_owned(),
        format!("wsrep-cluster-address=gcomm://{}", addresses.join(",")),
        format!("wsrep-node-name={}", name(place)),
        format!("wsrep-node-address={}", addresses[place]),
        "wsrep-sst-method=rsync".to_owned(),
        format!("wsrep-sst-donor={}", donors(addresses.len())),
        format!("wsrep-provider-options={provider}"),
    ];
    options.map(|option| format!("--{option}")).into()
}

/// Who gives its data to a new member, by name: the last first, since a donor commits nothing meanwhile, and the first
/// is the one that is written to.
fn donors(count: usize) -> String {
    (0..count).rev().map(|place| name(place) + ",").collect()
}
