-- The schema of the chat server, for MySQL 8 and 9 and MariaDB 10.6 and later:
--
--     mysql chat < chat.sql
--
-- A node applies it by itself to a database without these tables; this file is for those who rather do it by hand.
-- `user`, `friend`, `allgroup` and `groupuser` keep the names and columns of the classic project. A conversation is a
-- log (`message`) with a cursor per member (`member.received_seq`); times are in milliseconds since the Unix epoch.
-- The version in `meta` comes last: with it, the schema is complete. A node that finds the beginning of it goes on; by
-- hand it is for an empty database only.

CREATE TABLE meta (
    name  VARCHAR(64) NOT NULL,
    value VARCHAR(255) NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- From here on the tables below are being made.
INSERT INTO meta (name, value) VALUES ('schema_begun', '5');

CREATE TABLE user (
    id       BIGINT NOT NULL AUTO_INCREMENT,
    name     VARCHAR(50) NOT NULL,
    -- An argon2id hash in PHC format, never a password.
    password VARCHAR(255) NOT NULL,
    -- A mirror for the eyes of those who read the table; the truth is `session` and `node`.
    state    ENUM('online', 'offline') NOT NULL DEFAULT 'offline',
    PRIMARY KEY (id),
    UNIQUE KEY name (name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Mutual: one row in each direction.
CREATE TABLE friend (
    userid   BIGINT NOT NULL,
    friendid BIGINT NOT NULL,
    PRIMARY KEY (userid, friendid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE allgroup (
    id        BIGINT NOT NULL AUTO_INCREMENT,
    groupname VARCHAR(50) NOT NULL,
    groupdesc VARCHAR(200) NOT NULL DEFAULT '',
    PRIMARY KEY (id),
    UNIQUE KEY groupname (groupname)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE groupuser (
    groupid   BIGINT NOT NULL,
    userid    BIGINT NOT NULL,
    grouprole ENUM('creator', 'normal') NOT NULL DEFAULT 'normal',
    PRIMARY KEY (groupid, userid),
    KEY userid (userid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE conversation (
    -- `d3-17`: the friends 3 and 17; `g5`: group 5.
    id              VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    last_seq        BIGINT NOT NULL DEFAULT 0,
    -- Counts how often the newest messages were lost with the database's commits, and seqs had to be given anew.
    log_epoch       INT NOT NULL DEFAULT 0,
    -- The last message from before the current log_epoch.
    epoch_after     BIGINT NOT NULL DEFAULT 0,
    -- Counts the comings and goings of members.
    members_version BIGINT NOT NULL DEFAULT 1,
    -- The latest change: which run of a node made it (`node.boot`), and its number within that run.
    changed_by      BIGINT NOT NULL DEFAULT 0,
    change_number   BIGINT NOT NULL DEFAULT 0,
    -- Where the log begins: what came before has been removed, since it is kept no longer.
    first_seq       BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (id),
    KEY changed (changed_by, change_number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE member (
    conv         VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    userid       BIGINT NOT NULL,
    -- The cursor: everything up to here has reached the user.
    received_seq BIGINT NOT NULL DEFAULT 0,
    -- The conversation's members_version at joining: who has been a member the longest has the smallest.
    joined       BIGINT NOT NULL DEFAULT 1,
    PRIMARY KEY (conv, userid),
    KEY userid (userid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE message (
    conv    VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seq     BIGINT NOT NULL,
    sender  BIGINT NOT NULL,
    -- The sender's name for the message (a UUID): a resend finds the first.
    mid     BINARY(16) NOT NULL,
    time    BIGINT NOT NULL,
    body    MEDIUMTEXT NOT NULL,
    -- JSON: what a classic client wrote into its message besides the text.
    sent_as TEXT NULL,
    -- The conversation's, when the message was said.
    log_epoch INT NOT NULL DEFAULT 0,
    -- The cluster's, in milliseconds (`meta` counts it, by no clock), when it was said; 0: before ages were counted.
    cluster_age BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (conv, seq),
    UNIQUE KEY sender_mid (sender, mid)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- No clock decides who lives: a node counts its renewals, and another calls it gone when the count has stood still for
-- the length of a lease by that other's own clock.
CREATE TABLE node (
    id        VARCHAR(64) NOT NULL,
    -- One run of the node.
    boot      BIGINT NOT NULL DEFAULT 0,
    renewals  BIGINT NOT NULL DEFAULT 0,
    -- The node is gone as long as this equals `renewals`; one renewal more, and it is back.
    gone      BIGINT NOT NULL DEFAULT 0,
    -- Counts how often sessions were taken from it while it was gone.
    takeovers BIGINT NOT NULL DEFAULT 0,
    -- Every change of this run with a number up to here has been committed, or never will be.
    settled   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The one session a user may have: it counts while the node is not gone and `boot` is that of the node's row.
CREATE TABLE session (
    userid           BIGINT NOT NULL,
    node             VARCHAR(64) NULL,
    boot             BIGINT NOT NULL DEFAULT 0,
    epoch            BIGINT NOT NULL DEFAULT 0,
    -- The session is to end.
    asked            TINYINT NOT NULL DEFAULT 0,
    token_generation BIGINT NOT NULL DEFAULT 0,
    -- Why: 0 another node wants it, 1 an operator does, 2 the account was disabled, 3 its password was reset.
    asked_why        TINYINT NOT NULL DEFAULT 0,
    -- The account is disabled: nobody logs in.
    disabled         TINYINT NOT NULL DEFAULT 0,
    PRIMARY KEY (userid),
    KEY node_asked (node, asked)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO meta (name, value) VALUES ('schema_version', '5');
