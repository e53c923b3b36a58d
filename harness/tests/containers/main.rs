//! What is special about clusters in containers: that they leave nothing behind, that what cannot work is explained,
//! and the other databases.

mod cluster;
mod full_disk;
mod group;
mod links;
mod mariadb;
