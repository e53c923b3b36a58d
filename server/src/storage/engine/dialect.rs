//! What the databases spell differently.

/// The words of one database. Each engine has its own; another may borrow them.
#[derive(Debug)]
pub struct Dialect {
    /// Ends a SELECT that locks what it reads.
    pub for_update: &'static str,
    /// The same, but fails at once with [`Fault::LockTimeout`](super::Fault::LockTimeout) where it would have to wait.
    pub for_update_nowait: &'static str,
    /// The same, but leaves out the rows that another transaction holds.
    pub for_update_skip_locked: &'static str,
    /// Ends a SELECT that keeps others from changing what it reads.
    pub for_share: &'static str,
    /// After a table's name: look rows up by the primary key and nothing else. A scan or another index would lock rows
    /// that were not asked for, or in another order.
    pub by_primary_key: &'static str,
    /// Begins a list of rows after IN.
    pub row_list: &'static str,
    /// The larger of two values.
    pub greatest: &'static str,
    /// Begins and ends an INSERT that leaves existing rows as they are.
    pub insert_ignore: (&'static str, &'static str),
    /// Between the rows of an INSERT and the assignments for those whose `id` exists.
    pub on_duplicate_id: &'static str,
    /// Around a column's name in such an assignment: the value that was to be inserted.
    pub inserted: (&'static str, &'static str),
    /// Lists the tables of the database.
    pub list_tables: &'static str,
    /// The statements that make the tables.
    pub schema: &'static str,
}

impl Dialect {
    /// An INSERT that leaves existing rows as they are; `rest` begins with INTO.
    pub fn insert_ignore(&self, rest: &str) -> String {
        format!("{} {rest}{}", self.insert_ignore.0, self.insert_ignore.1)
    }

    /// In an assignment for duplicates: the value that was to be inserted into `column`.
    pub fn inserted(&self, column: &str) -> String {
        format!("{}{column}{}", self.inserted.0, self.inserted.1)
    }
}
