//! Compact JSON, the same bytes for the same value.
//!
//! serde_json writes maps in the order in which they iterate, which differs from map to map and with its
//! feature `preserve_order`; dedupe and tests want one order. So maps are written here, sorted by the bytes of
//! their keys; numbers and strings are serde_json's. Fields of structs come as declared.

use std::fmt;

use serde::Serialize;
use serde::ser::{
    self, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value as compact JSON: keys of maps sorted by their bytes, whatever features serde_json has; fields of
/// structs as declared. What is already JSON (`RawValue`) stays as it is.
///
/// # Errors
/// [`JsonError`].
///
/// ```
/// use std::collections::HashMap;
/// use sse_state_hub::to_json;
///
/// let map = HashMap::from([("b", 1), ("a", 2)]);
/// assert_eq!(to_json(&map).unwrap(), r#"{"a":2,"b":1}"#);
/// assert!(to_json(&f64::NAN).is_err());
/// ```
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String, JsonError> {
    let mut out = String::new();
    value.serialize(Json { out: &mut out })?;
    Ok(out)
}

/// Why a value is no JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// A number that is infinite or none at all, for which JSON has no text.
    NotFinite,
    /// A key of a map that is neither text nor a number nor a boolean.
    Key,
    /// Its `Serialize` failed, with this message.
    Failed(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::NotFinite => f.write_str("JSON has no infinite numbers and no NaN"),
            JsonError::Key => f.write_str("JSON has no such keys"),
            JsonError::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for JsonError {}

impl ser::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> JsonError {
        JsonError::Failed(message.to_string())
    }
}

/// Appends one value.
struct Json<'a> {
    out: &'a mut String,
}

type Done = Result<(), JsonError>;

impl<'a> Json<'a> {
    fn put(self, text: impl fmt::Display) -> Done {
        use fmt::Write as _;
        // Writing to a `String` cannot fail.
        let _ = write!(self.out, "{text}");
        Ok(())
    }

    /// As serde_json writes it.
    fn theirs<T: Serialize + ?Sized>(self, value: &T) -> Done {
        let text = serde_json::to_string(value);
        self.out
            .push_str(&text.map_err(|error| JsonError::Failed(error.to_string()))?);
        Ok(())
    }

    /// `{"name":`, which the compound then ends.
    fn variant(self, name: &str, open: &str) -> Result<&'a mut String, JsonError> {
        self.out.push('{');
        Json { out: self.out }.theirs(name)?;
        self.out.push(':');
        self.out.push_str(open);
        Ok(self.out)
    }
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = JsonError;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fn serialize_bool(self, value: bool) -> Done {
        self.put(value)
    }
    fn serialize_i8(self, value: i8) -> Done {
        self.put(value)
    }
    fn serialize_i16(self, value: i16) -> Done {
        self.put(value)
    }
    fn serialize_i32(self, value: i32) -> Done {
        self.put(value)
    }
    fn serialize_i64(self, value: i64) -> Done {
        self.put(value)
    }
    fn serialize_i128(self, value: i128) -> Done {
        self.put(value)
    }
    fn serialize_u8(self, value: u8) -> Done {
        self.put(value)
    }
    fn serialize_u16(self, value: u16) -> Done {
        self.put(value)
    }
    fn serialize_u32(self, value: u32) -> Done {
        self.put(value)
    }
    fn serialize_u64(self, value: u64) -> Done {
        self.put(value)
    }
    fn serialize_u128(self, value: u128) -> Done {
        self.put(value)
    }
    fn serialize_f32(self, value: f32) -> Done {
        if !value.is_finite() {
            return Err(JsonError::NotFinite);
        }
        self.theirs(&value)
    }
    fn serialize_f64(self, value: f64) -> Done {
        if !value.is_finite() {
            return Err(JsonError::NotFinite);
        }
        self.theirs(&value)
    }
    fn serialize_char(self, value: char) -> Done {
        self.theirs(&value)
    }
    fn serialize_str(self, value: &str) -> Done {
        self.theirs(value)
    }
    fn serialize_bytes(self, value: &[u8]) -> Done {
        let mut list = self.serialize_seq(None)?;
        for byte in value {
            SerializeSeq::serialize_element(&mut list, byte)?;
        }
        SerializeSeq::end(list)
    }
    fn serialize_none(self) -> Done {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        self.put("null")
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        let out = self.variant(variant, "")?;
        value.serialize(Json { out: &mut *out })?;
        out.push('}');
        Ok(())
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, JsonError> {
        self.out.push('[');
        Ok(List::new(self.out, "]"))
    }
    fn serialize_tuple(self, _: usize) -> Result<List<'a>, JsonError> {
        self.serialize_seq(None)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, JsonError> {
        self.serialize_seq(None)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, JsonError> {
        Ok(List::new(self.variant(variant, "[")?, "]}"))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Map<'a>, JsonError> {
        Ok(Map {
            out: self.out,
            entries: Vec::new(),
            key: None,
        })
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a>, JsonError> {
        // How serde_json hands over what is JSON already.
        if name == PRIVATE_NUMBER || name == PRIVATE_RAW {
            return Ok(Fields::Raw(self.out));
        }
        self.out.push('{');
        Ok(Fields::Named(List::new(self.out, "}")))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, JsonError> {
        Ok(Fields::Named(List::new(self.variant(variant, "{")?, "}}")))
    }
}

/// Elements, or fields, between commas.
struct List<'a> {
    out: &'a mut String,
    end: &'static str,
    is_first: bool,
}

impl<'a> List<'a> {
    fn new(out: &'a mut String, end: &'static str) -> List<'a> {
        List {
            out,
            end,
            is_first: true,
        }
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.comma();
        value.serialize(Json { out: self.out })
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Done {
        self.comma();
        Json { out: self.out }.theirs(key)?;
        self.out.push(':');
        value.serialize(Json { out: self.out })
    }

    fn done(self) -> Done {
        self.out.push_str(self.end);
        Ok(())
    }
}

/// A compound whose elements are all alike to JSON.
macro_rules! elements {
    ($($trait:ident::$method:ident),*) => {
        $(impl $trait for List<'_> {
            type Ok = ();
            type Error = JsonError;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.element(value)
            }
            fn end(self) -> Done {
                self.done()
            }
        })*
    };
}

elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

/// The fields of a struct.
enum Fields<'a> {
    Named(List<'a>),
    /// The one field of a struct by which serde_json passes text through.
    Raw(&'a mut String),
}

impl Fields<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        match self {
            Fields::Named(list) => list.field(key, value),
            Fields::Raw(out) => {
                out.push_str(&value.serialize(KeyText {
                    quotes_numbers: false,
                })?);
                Ok(())
            }
        }
    }

    fn done(self) -> Done {
        match self {
            Fields::Named(list) => list.done(),
            Fields::Raw(_) => Ok(()),
        }
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = JsonError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.field(key, value)
    }
    fn end(self) -> Done {
        self.done()
    }
}

impl SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = JsonError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.field(key, value)
    }
    fn end(self) -> Done {
        self.done()
    }
}

/// A map: collected, sorted, written.
struct Map<'a> {
    out: &'a mut String,
    entries: Vec<(String, String)>,
    key: Option<String>,
}

impl SerializeMap for Map<'_> {
    type Ok = ();
    type Error = JsonError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.key = Some(key.serialize(KeyText {
            quotes_numbers: true,
        })?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let key = self.key.take().ok_or(JsonError::Key)?;
        self.entries.push((key, to_json(value)?));
        Ok(())
    }

    fn end(mut self) -> Done {
        // Equal keys keep their order; `str` is ordered by its bytes.
        self.entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.out.push('{');
        let mut list = List::new(self.out, "}");
        for (key, value) in &self.entries {
            list.comma();
            Json { out: list.out }.theirs(key)?;
            list.out.push(':');
            list.out.push_str(value);
        }
        list.done()
    }
}

/// The text of a key.
struct KeyText {
    /// Numbers may be keys; in what is passed through only text is expected.
    quotes_numbers: bool,
}

impl KeyText {
    fn number(self, value: impl fmt::Display) -> Result<String, JsonError> {
        if self.quotes_numbers {
            Ok(value.to_string())
        } else {
            Err(JsonError::Key)
        }
    }

    fn float(self, value: impl Serialize, is_finite: bool) -> Result<String, JsonError> {
        if is_finite {
            let mut text = String::new();
            Json { out: &mut text }.theirs(&value)?;
            self.number(text)
        } else {
            Err(JsonError::NotFinite)
        }
    }
}

impl Serializer for KeyText {
    type Ok = String;
    type Error = JsonError;
    type SerializeSeq = Impossible<String, JsonError>;
    type SerializeTuple = Impossible<String, JsonError>;
    type SerializeTupleStruct = Impossible<String, JsonError>;
    type SerializeTupleVariant = Impossible<String, JsonError>;
    type SerializeMap = Impossible<String, JsonError>;
    type SerializeStruct = Impossible<String, JsonError>;
    type SerializeStructVariant = Impossible<String, JsonError>;

    fn serialize_str(self, value: &str) -> Result<String, JsonError> {
        Ok(value.to_owned())
    }
    fn serialize_char(self, value: char) -> Result<String, JsonError> {
        Ok(value.to_string())
    }
    fn serialize_bool(self, value: bool) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_i8(self, value: i8) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_i16(self, value: i16) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_i32(self, value: i32) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_i64(self, value: i64) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_i128(self, value: i128) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_u8(self, value: u8) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_u16(self, value: u16) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_u32(self, value: u32) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_u64(self, value: u64) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_u128(self, value: u128) -> Result<String, JsonError> {
        self.number(value)
    }
    fn serialize_f32(self, value: f32) -> Result<String, JsonError> {
        self.float(value, value.is_finite())
    }
    fn serialize_f64(self, value: f64) -> Result<String, JsonError> {
        self.float(value, value.is_finite())
    }
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<String, JsonError> {
        Ok(variant.to_owned())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String, JsonError> {
        value.serialize(self)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, JsonError> {
        value.serialize(self)
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<String, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_none(self) -> Result<String, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_unit(self) -> Result<String, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<String, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, JsonError> {
        Err(JsonError::Key)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, JsonError> {
        Err(JsonError::Key)
    }
}

/// The name under which serde_json's numbers pass, with its feature `arbitrary_precision`.
const PRIVATE_NUMBER: &str = "$serde_json::private::Number";
/// The name under which its `RawValue` passes.
const PRIVATE_RAW: &str = "$serde_json::private::RawValue";
