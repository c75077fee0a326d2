//! One property of all items, by slot.

mod facet;

use std::{collections::HashMap, sync::Arc};

use waggle_filter::{Property, Range, Test, Type, Value, Values};
use waggle_model::Timestamp;

use crate::{
    bits::Bits,
    table::{CHUNK, Chunk, Entries},
};

/// A code that no value has.
const ABSENT: u32 = 0;

/// Values of one property as of one table.
#[derive(Clone)]
pub(crate) struct Column {
    generation: u64,
    /// The chunks that the values were read from: those that are still the same need not be read again.
    chunks: Vec<Arc<Chunk>>,
    values: Typed,
}

#[derive(Clone)]
enum Typed {
    /// Codes of strings; booleans are strings here.
    Strings { codes: Vec<u32>, names: Names },
    /// NaN where there is none.
    Numbers(Vec<f64>),
    /// Milliseconds; the least number where there is none.
    Times(Vec<i64>),
    /// Codes of every string of a list.
    Lists { codes: Vec<Box<[u32]>>, names: Names },
}

/// Numbers for strings, in the order they came; they are never taken back.
#[derive(Clone, Default)]
struct Names {
    by_name: HashMap<Arc<str>, u32>,
    /// The name of code 1 first.
    names: Vec<Arc<str>>,
}

const NO_TIME: i64 = i64::MIN;

impl Column {
    pub(super) fn new(property: &Property, entries: &Entries) -> Self {
        let values = match property.kind() {
            Type::String | Type::Boolean => Typed::Strings { codes: Vec::new(), names: Names::default() },
            Type::Number => Typed::Numbers(Vec::new()),
            Type::Time => Typed::Times(Vec::new()),
            Type::Strings => Typed::Lists { codes: Vec::new(), names: Names::default() },
        };
        Self { generation: 0, chunks: Vec::new(), values }.updated(property, entries)
    }

    pub(super) fn is_of(&self, entries: &Entries) -> bool {
        self.generation == entries.generation()
    }

    /// The same property as of a later table. Costs a comparison of pointers per chunk, and a reading of those that have
    /// changed.
    pub(super) fn updated(&self, property: &Property, entries: &Entries) -> Self {
        let mut column = self.clone();
        column.values.resize(entries.chunks().len() * CHUNK);
        for (at, chunk) in entries.chunks().iter().enumerate() {
            if self.chunks.get(at).is_some_and(|known| Arc::ptr_eq(known, chunk)) {
                continue;
            }
            for (place, entry) in chunk.iter().enumerate() {
                let item = entry.map(|entry| entry.item());
                column.values.set(at * CHUNK + place, item.as_ref().and_then(|item| property.value(item)));
            }
        }
        column.chunks = entries.chunks().to_vec();
        column.generation = entries.generation();
        column
    }

    /// The slots whose value passes the test.
    pub(super) fn matching(&self, test: &Test) -> Bits {
        match (&self.values, test) {
            (Typed::Strings { codes, .. }, Test::Exists) => Bits::from_fn(codes, |code| *code != ABSENT),
            (Typed::Numbers(numbers), Test::Exists) => Bits::from_fn(numbers, |number| !number.is_nan()),
            (Typed::Times(times), Test::Exists) => Bits::from_fn(times, |time| *time != NO_TIME),
            (Typed::Lists { codes, .. }, Test::Exists) => Bits::from_fn(codes, |codes| !is_absent(codes)),
            (Typed::Strings { codes, names }, Test::OneOf(values)) => {
                one_of_codes(codes, &names.codes(values))
            }
            (Typed::Strings { codes, names }, Test::StartsWith(prefix)) => {
                let wanted = names.by_name.iter().filter(|(name, _)| name.starts_with(&**prefix));
                one_of_codes(codes, &wanted.map(|(_, code)| *code).collect::<Vec<_>>())
            }
            (Typed::Numbers(numbers), Test::OneOf(Values::Numbers(values))) => {
                Bits::from_fn(numbers, |number| values.contains(number))
            }
            (Typed::Numbers(numbers), Test::NumberIn(range)) => {
                Bits::from_fn(numbers, |number| range.contains(number))
            }
            (Typed::Times(times), Test::OneOf(Values::Times(values))) => Bits::from_fn(times, |time| {
                *time != NO_TIME && values.contains(&Timestamp::from_millis(*time))
            }),
            (Typed::Times(times), Test::TimeIn(range)) => Bits::from_fn(times, |time| in_range(range, *time)),
            (Typed::Lists { codes, names }, Test::ContainsAny(values)) => {
                let wanted = names.codes(values);
                Bits::from_fn(codes, |codes| codes.iter().any(|code| wanted.contains(code)))
            }
            // A test of another type than the property's, which nothing passes.
            _ => Bits::default(),
        }
    }
}

fn in_range(range: &Range<Timestamp>, time: i64) -> bool {
    time != NO_TIME && range.contains(&Timestamp::from_millis(time))
}

fn is_absent(codes: &[u32]) -> bool {
    codes == [ABSENT]
}

fn one_of_codes(codes: &[u32], wanted: &[u32]) -> Bits {
    match wanted {
        [] => Bits::default(),
        // Two of three filters ask for one value, and this loop is the fastest.
        [only] => Bits::from_fn(codes, |code| code == only),
        few if few.len() <= 8 => Bits::from_fn(codes, |code| few.contains(code)),
        many => {
            let mut is_wanted = vec![false; many.iter().max().map_or(0, |code| *code as usize + 1)];
            many.iter().for_each(|code| is_wanted[*code as usize] = true);
            Bits::from_fn(codes, |code| is_wanted.get(*code as usize).copied().unwrap_or(false))
        }
    }
}

impl Typed {
    fn resize(&mut self, n_slots: usize) {
        match self {
            Self::Strings { codes, .. } => codes.resize(n_slots, ABSENT),
            Self::Numbers(numbers) => numbers.resize(n_slots, f64::NAN),
            Self::Times(times) => times.resize(n_slots, NO_TIME),
            Self::Lists { codes, .. } => codes.resize(n_slots, [ABSENT].into()),
        }
    }

    fn set(&mut self, slot: usize, value: Option<Value<'_>>) {
        match self {
            Self::Strings { codes, names } => {
                codes[slot] = match value {
                    Some(Value::String(text)) => names.code(text),
                    Some(Value::Boolean(is_true)) => names.code(boolean(is_true)),
                    _ => ABSENT,
                };
            }
            Self::Numbers(numbers) => {
                numbers[slot] = if let Some(Value::Number(number)) = value { number } else { f64::NAN };
            }
            Self::Times(times) => {
                times[slot] = if let Some(Value::Time(time)) = value { time.as_millis() } else { NO_TIME };
            }
            Self::Lists { codes, names } => {
                codes[slot] = match value {
                    Some(Value::Strings(texts)) => texts.iter().map(|text| names.code(text)).collect(),
                    _ => [ABSENT].into(),
                };
            }
        }
    }
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

impl Names {
    fn code(&mut self, name: &str) -> u32 {
        if let Some(code) = self.by_name.get(name) {
            return *code;
        }
        let name: Arc<str> = name.into();
        self.names.push(name.clone());
        let code = u32::try_from(self.names.len()).expect("fewer strings than 2^32");
        self.by_name.insert(name, code);
        code
    }

    /// Of a code that some value has.
    fn name(&self, code: u32) -> &str {
        &self.names[code as usize - 1]
    }

    /// Those of the values that some item has had.
    fn codes(&self, values: &Values) -> Vec<u32> {
        let code = |name: &str| self.by_name.get(name).copied();
        match values {
            Values::Strings(names) => names.iter().filter_map(|name| code(name)).collect(),
            Values::Booleans(values) => values.iter().filter_map(|value| code(boolean(*value))).collect(),
            Values::Numbers(_) | Values::Times(_) => Vec::new(),
        }
    }
}
