//! What is special about clusters in containers: that they leave nothing behind, that what cannot work is explained,
//! and the other database.

mod cluster;
mod full_disk;
mod links;
mod mariadb;
