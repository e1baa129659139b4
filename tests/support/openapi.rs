//! Gitea's own description of its API (tests/fixtures/gitea-api.json), and whether requests and answers are as it says.

use serde_json::Value;

/// The description.
pub struct Description(Value);

/// Answers that any route may give, though the description does not list them.
const ANYWHERE: [u16; 6] = [401, 403, 429, 500, 502, 503];

/// A request as far as the description speaks of it.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    pub method: &'a str,
    /// Without the base path.
    pub path: &'a str,
    pub query: &'a str,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    /// Of a JSON body.
    pub body: Option<&'a [u8]>,
    /// Names of the fields of a form.
    pub fields: Vec<String>,
}

impl Description {
    pub fn read() -> Self {
        Description(serde_json::from_str(include_str!("../fixtures/gitea-api.json")).unwrap())
    }

    /// What is wrong with a request.
    pub fn request(&self, asked: &Asked) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some((operation, in_path)) = self.operation(asked.method, asked.path) else {
            return vec![format!("{} {} is not in the description", asked.method, asked.path)];
        };
        let parameters = operation["parameters"].as_array().unwrap();
        let described = |place: &str, name: &str| parameters.iter().find(|p| p["in"] == place && p["name"] == name);
        let mut check = |place: &str, name: &str, value: &str| match described(place, name) {
            None => wrong.push(format!("{} {}: {place} parameter {name} is not described", asked.method, asked.path)),
            Some(p) if !fits(p["type"].as_str().unwrap(), value) => {
                wrong.push(format!("{} {}: {name} is {value:?}, not {}", asked.method, asked.path, p["type"]))
            }
            Some(_) => {}
        };
        in_path.iter().for_each(|(name, value)| check("path", name, value));
        let pairs = asked.query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
        pairs.for_each(|(name, value)| check("query", name, value));
        asked.fields.iter().for_each(|name| check("formData", name, ""));
        if asked.authorization.is_some_and(|a| !a.starts_with("token ")) {
            wrong.push("tokens are to be prepended with \"token\" and a space".into());
        }
        let kind = asked.content_type.map(|k| k.split(';').next().unwrap().trim());
        let consumes = operation["consumes"].as_array();
        match (kind, consumes) {
            (Some(kind), Some(known)) if known.iter().all(|k| k != kind) => wrong.push(format!("{} {} does not take {kind}", asked.method, asked.path)),
            (Some(kind), None) => wrong.push(format!("{} {} takes no body, not {kind}", asked.method, asked.path)),
            (None, Some(_)) => wrong.push(format!("{} {} wants a body with its type", asked.method, asked.path)),
            _ => {}
        }
        if let Some(body) = asked.body.filter(|_| kind == Some("application/json")) {
            match (parameters.iter().find(|p| p["in"] == "body"), serde_json::from_slice::<Value>(body)) {
                (Some(p), Ok(value)) => self.value(&value, &p["schema"], "body", false, &mut wrong),
                (_, e) => wrong.push(format!("{} {}: the body is not as described: {e:?}", asked.method, asked.path)),
            }
        }
        wrong
    }

    /// What is wrong with an answer; the stand-in's must have every property, as the real one's have.
    pub fn answer(&self, method: &str, path: &str, status: u16, body: &[u8]) -> Vec<String> {
        let Some((operation, _)) = self.operation(method, path) else { return Vec::new() };
        let response = &operation["responses"][status.to_string()];
        if response.is_null() {
            let known = ANYWHERE.contains(&status) || (status == 404 && body.is_empty());
            return if known { Vec::new() } else { vec![format!("{method} {path} never answers {status}")] };
        }
        let response = self.at(response["$ref"].as_str().unwrap());
        let mut wrong = Vec::new();
        match &response["schema"] {
            Value::Null => {}
            schema => match serde_json::from_slice(body) {
                Ok(value) => self.value(&value, schema, &format!("{method} {path}"), true, &mut wrong),
                Err(e) => wrong.push(format!("{method} {path}: {status} has no JSON: {e}")),
            },
        }
        wrong
    }

    /// The operation of a method and path, and the values in the path.
    fn operation<'p>(&self, method: &str, path: &'p str) -> Option<(&Value, Vec<(String, &'p str)>)> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let matching = |template: &str| {
            let wanted: Vec<&str> = template.trim_start_matches('/').split('/').collect();
            let mut values = Vec::new();
            for (want, part) in wanted.iter().zip(&parts) {
                match want.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
                    Some(name) => values.push((name.to_owned(), *part)),
                    None if want != part => return None,
                    None => {}
                }
            }
            (wanted.len() == parts.len()).then_some(values)
        };
        let paths = self.0["paths"].as_object().unwrap();
        // a fixed word goes before a parameter: `latest` is no number
        let mut found: Vec<_> = paths.iter().filter_map(|(template, item)| Some((matching(template)?, item))).collect();
        found.sort_by_key(|(values, _)| values.len());
        let (values, item) = found.into_iter().next()?;
        Some((item.get(method.to_lowercase())?, values))
    }

    fn at(&self, reference: &str) -> &Value {
        self.0.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} is not in the description"))
    }

    fn value(&self, value: &Value, schema: &Value, place: &str, whole: bool, wrong: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.value(value, self.at(reference), place, whole, wrong);
        }
        let fits = match schema["type"].as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            other => panic!("{other}"),
        };
        if !fits {
            return wrong.push(format!("{place}: {value} is no {}", schema["type"]));
        }
        if schema["format"] == "date-time" && chrono::DateTime::parse_from_rfc3339(value.as_str().unwrap()).is_err() {
            wrong.push(format!("{place}: {value} is no time"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.value(item, &schema["items"], place, whole, wrong);
        }
        let Some(members) = value.as_object() else { return };
        let properties = schema["properties"].as_object().unwrap();
        for (name, member) in members {
            match properties.get(name) {
                Some(schema) => self.value(member, schema, &format!("{place}.{name}"), whole, wrong),
                None => wrong.push(format!("{place}: there is no {name} in the description")),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten().map(|n| n.as_str().unwrap());
        let needed: Vec<&str> = if whole { properties.keys().map(String::as_str).collect() } else { required.collect() };
        wrong.extend(needed.iter().filter(|n| !members.contains_key(**n)).map(|n| format!("{place}: {n} is missing")));
    }
}

fn fits(kind: &str, value: &str) -> bool {
    match kind {
        "integer" => value.parse::<u64>().is_ok(),
        "boolean" => ["true", "false"].contains(&value),
        _ => true,
    }
}
