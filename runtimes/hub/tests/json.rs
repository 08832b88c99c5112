//! What becomes JSON, kind by kind: as serde_json writes it, but for the order of maps.

use std::fmt::Debug;

use serde::ser::{SerializeMap as _, SerializeTupleStruct as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sse_state_hub::{JsonError, to_json};

/// A map of one entry.
struct Entry<K>(K);

impl<K: Serialize> Serialize for Entry<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&self.0, "value")?;
        map.end()
    }
}

#[derive(Serialize)]
struct Unit;
#[derive(Serialize)]
struct Wraps<T>(T);
#[derive(Serialize)]
struct Pair(u8, u8);
#[derive(Serialize)]
struct Named {
    a: u8,
}
#[derive(Serialize)]
enum Choice {
    Unit,
    Wraps(u8),
    Pair(u8, u8),
    Named { a: u8 },
}

/// What serde knows as bytes.
struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// As serde_json writes it.
fn same(value: &impl Serialize) {
    assert_eq!(
        to_json(value).unwrap(),
        serde_json::to_string(value).unwrap()
    );
}

/// Both write it as a key; tells also of what is one for serde_json only.
fn key(key: impl Serialize) {
    same(&Entry(key));
}

fn no_key(key: impl Serialize + Debug) {
    let message = format!("{key:?}");
    assert_eq!(to_json(&Entry(key)), Err(JsonError::Key), "{message}");
}

#[test]
fn every_kind_of_value() {
    same(&(i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
    same(&(u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    same(&(0.1_f32, 0.1_f64, f32::MAX, f64::MIN_POSITIVE, true, false));
    same(&('"', "\"\\\n\u{1}é\u{2028}", Some(1), None::<u8>, ()));
    same(&(Unit, Wraps(1), Pair(1, 2), Named { a: 1 }));
    same(&(Choice::Unit, Choice::Wraps(1)));
    same(&(Choice::Pair(1, 2), Choice::Named { a: 1 }));
    same(&(Bytes(b""), Bytes(b"\x00a\xff"), [0_u8; 0], vec![1, 2]));
    for not_finite in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(to_json(&not_finite), Err(JsonError::NotFinite));
        assert_eq!(to_json(&(not_finite as f32)), Err(JsonError::NotFinite));
    }
}

#[test]
fn every_kind_of_key() {
    key("\"text\"");
    key('c');
    key(true);
    key(i8::MIN);
    key(i16::MIN);
    key(i32::MIN);
    key(i64::MIN);
    key(i128::MIN);
    key(u8::MAX);
    key(u16::MAX);
    key(u32::MAX);
    key(u64::MAX);
    key(u128::MAX);
    key(0.1_f32);
    key(0.1_f64);
    key(Choice::Unit);
    key(Wraps("wrapped"));
    key(Some("there"));
    assert_eq!(to_json(&Entry(f32::NAN)), Err(JsonError::NotFinite));
    assert_eq!(to_json(&Entry(f64::INFINITY)), Err(JsonError::NotFinite));
}

#[test]
fn what_is_neither_text_nor_a_number_nor_a_boolean_is_no_key() {
    no_key(None::<u8>);
    no_key(());
    no_key([1, 2]);
    no_key(vec![1]);
    no_key(std::collections::BTreeMap::from([(1, 2)]));
    for json in [
        to_json(&Entry(Bytes(b"bytes"))),
        to_json(&Entry(Unit)),
        to_json(&Entry(Pair(1, 2))),
        to_json(&Entry(Named { a: 1 })),
        to_json(&Entry(Choice::Wraps(1))),
        to_json(&Entry(Choice::Pair(1, 2))),
        to_json(&Entry(Choice::Named { a: 1 })),
    ] {
        assert_eq!(json, Err(JsonError::Key));
    }
}

#[test]
fn maps_are_sorted_at_every_depth() {
    let text = r#"{"b":{"d":1,"c":[{"f":2,"e":3}]},"a":null,"aa":{}}"#;
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let sorted = r#"{"a":null,"aa":{},"b":{"c":[{"e":3,"f":2}],"d":1}}"#;
    assert_eq!(to_json(&value).unwrap(), sorted);
}

#[test]
fn what_is_json_already_stays_as_it_is() {
    let raw = RawValue::from_string(String::from(r#"{ "b": 1, "a": 1.50 }"#)).unwrap();
    same(&raw);
    same(&(1, &raw));
    // How numbers come with serde_json's feature `arbitrary_precision`.
    #[derive(Serialize)]
    #[serde(rename = "$serde_json::private::Number")]
    struct Number<T> {
        #[serde(rename = "$serde_json::private::Number")]
        text: T,
    }
    let digits = "3.14159265358979323846264338327950288";
    assert_eq!(
        to_json(&[Number { text: digits }]).unwrap(),
        format!("[{digits}]")
    );
    assert_eq!(
        to_json(&Number { text: 1 }),
        Err(JsonError::Key),
        "only text is passed through"
    );
}

#[test]
fn what_fails_within_fails() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_tuple_struct("Fails", 1)?;
            fields.serialize_field(&f64::NAN)?;
            fields.end()
        }
    }
    assert_eq!(to_json(&Fails), Err(JsonError::NotFinite));
    assert_eq!(to_json(&Entry(Some(Fails))), Err(JsonError::Key));
    let messages = [
        JsonError::NotFinite,
        JsonError::Key,
        JsonError::Failed("why".into()),
    ];
    assert_eq!(
        messages.map(|error| error.to_string()),
        [
            "JSON has no infinite numbers and no NaN",
            "JSON has no such keys",
            "why"
        ]
    );
}
