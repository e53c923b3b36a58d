-- The schema of chat.sql in SQLite's words. An id column is INTEGER PRIMARY KEY AUTOINCREMENT, so that no id is reused.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- From here on the tables below are being made.
INSERT INTO meta (name, value) VALUES ('schema_begun', '5');

CREATE TABLE user (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    state    TEXT NOT NULL DEFAULT 'offline' CHECK (state IN ('online', 'offline'))
);

CREATE TABLE friend (
    userid   INTEGER NOT NULL,
    friendid INTEGER NOT NULL,
    PRIMARY KEY (userid, friendid)
) WITHOUT ROWID;

CREATE TABLE allgroup (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    groupname TEXT NOT NULL UNIQUE,
    groupdesc TEXT NOT NULL DEFAULT ''
);

CREATE TABLE groupuser (
    groupid   INTEGER NOT NULL,
    userid    INTEGER NOT NULL,
    grouprole TEXT NOT NULL DEFAULT 'normal' CHECK (grouprole IN ('creator', 'normal')),
    PRIMARY KEY (groupid, userid)
) WITHOUT ROWID;
CREATE INDEX groupuser_userid ON groupuser (userid);

CREATE TABLE conversation (
    id              TEXT NOT NULL PRIMARY KEY,
    last_seq        INTEGER NOT NULL DEFAULT 0,
    log_epoch       INTEGER NOT NULL DEFAULT 0,
    epoch_after     INTEGER NOT NULL DEFAULT 0,
    members_version INTEGER NOT NULL DEFAULT 1,
    changed_by      INTEGER NOT NULL DEFAULT 0,
    change_number   INTEGER NOT NULL DEFAULT 0,
    first_seq       INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX conversation_changed ON conversation (changed_by, change_number);

CREATE TABLE member (
    conv         TEXT NOT NULL,
    userid       INTEGER NOT NULL,
    received_seq INTEGER NOT NULL DEFAULT 0,
    joined       INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (conv, userid)
) WITHOUT ROWID;
CREATE INDEX member_userid ON member (userid);

CREATE TABLE message (
    conv    TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    sender  INTEGER NOT NULL,
    mid     BLOB NOT NULL,
    time    INTEGER NOT NULL,
    body    TEXT NOT NULL,
    sent_as TEXT,
    log_epoch INTEGER NOT NULL DEFAULT 0,
    cluster_age INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conv, seq),
    UNIQUE (sender, mid)
);

CREATE TABLE node (
    id        TEXT NOT NULL PRIMARY KEY,
    boot      INTEGER NOT NULL DEFAULT 0,
    renewals  INTEGER NOT NULL DEFAULT 0,
    gone      INTEGER NOT NULL DEFAULT 0,
    takeovers INTEGER NOT NULL DEFAULT 0,
    settled   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE session (
    userid           INTEGER PRIMARY KEY,
    node             TEXT,
    boot             INTEGER NOT NULL DEFAULT 0,
    epoch            INTEGER NOT NULL DEFAULT 0,
    asked            INTEGER NOT NULL DEFAULT 0,
    token_generation INTEGER NOT NULL DEFAULT 0,
    asked_why        INTEGER NOT NULL DEFAULT 0,
    disabled         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX session_node ON session (node, asked);

INSERT INTO meta (name, value) VALUES ('schema_version', '5');
