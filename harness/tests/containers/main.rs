//! The cluster stories in containers, one promise a file. One program, so that those who break nothing share one
//! cluster.

mod chat;
mod cluster;
mod database;
mod edges;
mod exhaustion;
mod full_disk;
mod links;
mod mariadb;
mod nginx;
mod nodes;
mod redis;
mod sessions;
mod troubled_links;
