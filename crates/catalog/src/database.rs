//! The two databases behind one door.
//!
//! Statements are written once: `$1` numbers parameters, whole numbers have eight bytes, and only
//! what both databases understand is used.

mod postgres;
mod sqlite;

use lifeboat_model::ErrorKind;

use crate::{Error, Result};

pub(crate) use postgres::Postgres;
pub(crate) use sqlite::Sqlite;

/// The longest name, in bytes: two of them fit into a key of PostgreSQL's indexes.
const NAME_MAX: usize = 1_000;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One line of an answer.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Vec<Value>);

/// An open transaction.
pub(crate) trait Transaction {
    /// Changes rows; says how many.
    fn execute(&mut self, statement: &str, values: &[Value]) -> Result<u64>;

    /// Asks for rows.
    fn query(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>>;

    /// Nobody else is between this call and the transaction's end who has called it too.
    fn exclude_others(&mut self) -> Result<()>;

    /// What is damaged, if the database can be asked.
    fn quick_check(&mut self) -> Result<Vec<String>>;

    /// Microseconds since 1970 by the clock of another computer, if it runs on one.
    fn server_time(&mut self) -> Result<Option<i64>>;
}

/// Rows that one statement adds: few lengths, for statements are kept.
const ROWS_AT_ONCE: [usize; 3] = [256, 16, 1];

/// Adds rows, many by one statement. `into` is a table with its columns, `after` what follows
/// the values.
pub(crate) fn insert_rows(
    transaction: &mut dyn Transaction,
    into: &str,
    rows: &[Vec<Value>],
    after: &str,
) -> Result<()> {
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let fits = |length: &usize| *length <= rest.len();
        let length = ROWS_AT_ONCE.into_iter().find(fits).unwrap_or(1);
        let (now, later) = rest.split_at(length);
        let row = |row: usize| {
            let numbers = (1..=first.len()).map(|column| row * first.len() + column);
            let places: Vec<String> = numbers.map(|number| format!("${number}")).collect();
            format!("({})", places.join(", "))
        };
        let values: Vec<String> = (0..length).map(row).collect();
        let statement = format!("INSERT INTO {into} VALUES {} {after}", values.join(", "));
        transaction.execute(&statement, &now.concat())?;
        rest = later;
    }
    Ok(())
}

/// What is done inside a transaction.
pub(crate) type Work<'a> = &'a mut dyn FnMut(&mut dyn Transaction) -> Result<()>;

/// A database.
pub(crate) trait Database: Send {
    /// Does `work` as one transaction; an error undoes it. It may be done again from its begin if
    /// others were in the way.
    fn transaction(&mut self, work: Work<'_>) -> Result<()>;
}

impl Row {
    fn value(&self, column: usize) -> Result<&Value> {
        let missing = || Error::corrupt(format!("an answer has no column {column}"));
        self.0.get(column).ok_or_else(missing)
    }

    pub(crate) fn integer(&self, column: usize) -> Result<i64> {
        match self.value(column)? {
            Value::Integer(number) => Ok(*number),
            other => Err(unexpected(column, "a number", other)),
        }
    }

    pub(crate) fn maybe_integer(&self, column: usize) -> Result<Option<i64>> {
        match self.value(column)? {
            Value::Null => Ok(None),
            _ => self.integer(column).map(Some),
        }
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            other => Err(unexpected(column, "a text", other)),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8]> {
        match self.value(column)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(column, "bytes", other)),
        }
    }

    /// A value that was written as JSON.
    pub(crate) fn body<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T> {
        serde_json::from_str(self.text(column)?)
            .map_err(|error| Error::corrupt("cannot read a row of the catalog").with_source(error))
    }

    /// A moment.
    pub(crate) fn moment(&self, column: usize) -> Result<jiff::Timestamp> {
        moment(self.integer(column)?)
    }
}

fn unexpected(column: usize, wanted: &str, found: &Value) -> Error {
    let found = match found {
        Value::Null => "nothing",
        Value::Integer(_) => "a number",
        Value::Text(_) => "a text",
        Value::Bytes(_) => "bytes",
    };
    Error::corrupt(format!(
        "column {column} of an answer is {found}, not {wanted}"
    ))
}

/// Microseconds since 1970 to a moment.
pub(crate) fn moment(microseconds: i64) -> Result<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(microseconds)
        .map_err(|error| Error::corrupt("a moment of the catalog").with_source(error))
}

/// At most so many bytes of a text, with something in place of zero characters.
pub(crate) fn kept(text: &str, most: usize, zero: &str) -> String {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or_default();
    // PostgreSQL knows none.
    text.replace('\0', zero)
        .chars()
        .scan(0, |length, character| {
            *length += character.len_utf8();
            (*length <= most).then_some(character)
        })
        .collect()
}

/// Conditions of a statement, in the order in which they are added.
pub(crate) struct Conditions {
    /// From `WHERE` on.
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
}

impl Conditions {
    pub(crate) fn new() -> Self {
        let (text, values) = ("WHERE TRUE".to_owned(), Vec::new());
        Self { text, values }
    }

    /// `left` is compared with a value, if there is one: `id <`.
    pub(crate) fn and(mut self, left: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.values.push(value.into());
            self.text += &format!(" AND {left} ${}", self.values.len());
        }
        self
    }

    /// Rows behind one in the order `falling DESC, rising`.
    pub(crate) fn behind(
        mut self,
        (falling, rising): (&str, &str),
        first: Value,
        rest: [Value; 2],
    ) -> Self {
        let number = self.values.len() + 1;
        self.text += &format!(
            " AND ({falling} < ${number} OR {falling} = ${number} \
             AND ({rising}) > (${}, ${}))",
            number + 1,
            number + 2
        );
        self.values.push(first);
        self.values.extend(rest);
        self
    }

    /// Ends them with an order and a number of rows.
    pub(crate) fn limited(mut self, order: &str, count: u32) -> Self {
        self.values.push(i64::from(count).into());
        self.text += &format!(" ORDER BY {order} LIMIT ${}", self.values.len());
        self
    }
}

/// A value as JSON.
pub(crate) fn body(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_string(value)
        .map(Value::Text)
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, "cannot write a row of the catalog").with_source(error)
        })
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// Names: what indexes and both databases hold. Longer ones are cut, and so are one with others
/// of the same begin; zero characters, which PostgreSQL does not keep, are replaced.
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(name(text))
    }
}

/// A name as rows keep it.
pub(crate) fn name(text: &str) -> String {
    kept(text, NAME_MAX, "\u{fffd}")
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<jiff::Timestamp> for Value {
    fn from(moment: jiff::Timestamp) -> Self {
        Self::Integer(moment.as_microsecond())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
