//! A storage whose nodes never count the cluster's age. They would do it every few seconds whatever else happens, and
//! it would be counted with whichever request is under way.

use async_trait::async_trait;
use chat::cluster::NodeKey;
use chat::storage::verify::VerifyLayer;
use chat::storage::{
    AccountsLayer, AgeMs, AgesLayer, ConversationsLayer, CursorsLayer, FriendsLayer, GroupsLayer, Layer, LogLayer,
    NodesLayer, OrdersLayer, OverviewLayer, RepairLayer, Result, RetentionLayer, SessionsLayer, Storage,
};
use std::sync::Arc;
use std::time::Duration;

pub struct Ageless(pub Arc<dyn Storage>);

#[async_trait]
impl Layer for Ageless {
    type Below = dyn Storage;

    async fn reach(&self, _: &'static str) -> Result<&dyn Storage> {
        Ok(self.0.as_ref())
    }
}

impl Storage for Ageless {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn writers(&self, configured: usize) -> usize {
        self.0.writers(configured)
    }
}

#[async_trait]
impl AgesLayer for Ageless {
    async fn count_age(&self, _: &NodeKey, _: Duration) -> Result<Option<AgeMs>> {
        Ok(None)
    }
}

impl AccountsLayer for Ageless {}
impl ConversationsLayer for Ageless {}
impl CursorsLayer for Ageless {}
impl FriendsLayer for Ageless {}
impl GroupsLayer for Ageless {}
impl LogLayer for Ageless {}
impl NodesLayer for Ageless {}
impl OrdersLayer for Ageless {}
impl OverviewLayer for Ageless {}
impl RepairLayer for Ageless {}
impl RetentionLayer for Ageless {}
impl SessionsLayer for Ageless {}
impl VerifyLayer for Ageless {}
