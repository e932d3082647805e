//! Reading single values of a contracts file. Each reader returns the value, or the bound that it broke.

use std::{ops::RangeInclusive, str::FromStr};

use jiff::{Timestamp, civil, tz::TimeZone};
use slotkeeper_core::{
    api::CALLER_ID_BYTES_MAX,
    beacon::Event,
    caps::CapScope,
    contract::{BreakPosition, DemandClass, Placement, PodPosition, Rating},
    impression::Quartile,
    money::Currency,
    time::UnixMillis,
};

use super::{
    dayparts::{Day, NoTimeOfDay, TimeOfDay},
    document::Value,
    frequency::{NoWindow, Per, Rolling},
};

type Read<T> = Result<T, String>;

/// The dearest CPM, in whole units of its currency.
const CPM_UNITS_MAX: i64 = 1_000_000;
const MICROS: i64 = 1_000_000;

fn str_of(value: &Value) -> Read<&str> {
    if let Value::Text(text) = value { Ok(text) } else { Err("must be text".into()) }
}

/// An external id: 1 to 64 small letters, digits, `.`, `_` and `-`, with a letter or digit first.
pub(super) fn slug(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let sound = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
        && text.bytes().next().is_some_and(plain);
    if sound {
        return Ok(text.into());
    }
    Err("must be 1 to 64 of a-z, 0-9, '.', '_' and '-', with a letter or digit first".into())
}

/// A title's id or a targeting value: what a player may send.
pub(super) fn caller_text(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    if (1..=CALLER_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(text.into());
    }
    Err(format!("must be 1 to {CALLER_ID_BYTES_MAX} printable ASCII characters"))
}

/// Text of 1 to `max` characters, none of them a control character.
pub(super) fn text(max: usize) -> impl Fn(&Value) -> Read<String> {
    move |value| {
        let text = str_of(value)?;
        if (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            return Ok(text.into());
        }
        Err(format!("must be 1 to {max} characters, without control characters"))
    }
}

/// A whole number.
pub(super) fn integer<T>(bounds: RangeInclusive<T>) -> impl Fn(&Value) -> Read<T>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display,
{
    move |value| {
        let number = if let Value::Integer(number) = value { T::try_from(*number).ok() } else { None };
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Read<bool> {
    if let Value::Bool(value) = value { Ok(*value) } else { Err("must be true or false".into()) }
}

/// A price of a thousand, in micros: text, so that no binary fraction creeps in.
pub(super) fn cpm(value: &Value) -> Read<i64> {
    let bound = || format!("must be text such as \"25.00\", from 0 to {CPM_UNITS_MAX}, with at most 6 decimals");
    let text = str_of(value).map_err(|_| bound())?;
    let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, max| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(units, 7) || !digits(decimals, 6) {
        return Err(bound());
    }
    let micros = units.parse::<i64>().ok().zip(format!("{decimals:0<6}").parse::<i64>().ok());
    micros
        .map(|(units, decimals)| units * MICROS + decimals)
        .filter(|micros| *micros <= CPM_UNITS_MAX * MICROS)
        .ok_or_else(bound)
}

/// An ISO 4217 code.
pub(super) fn currency(value: &Value) -> Read<Currency> {
    str_of(value).ok().and_then(Currency::parse).ok_or_else(|| "must be an ISO 4217 code such as \"USD\"".into())
}

/// ISO 4217's code for transactions without a currency.
pub(super) const NO_CURRENCY: &str = "XXX";

/// The currency of what is sold.
pub(super) fn currency_of_sale(value: &Value) -> Read<Currency> {
    let currency = currency(value)?;
    if currency.as_str() == NO_CURRENCY { Err("is no currency; what is sold has one".into()) } else { Ok(currency) }
}

/// The name of an IANA time zone.
pub(super) fn time_zone(value: &Value) -> Read<String> {
    let zone = str_of(value).ok().and_then(|name| TimeZone::get(name).ok());
    let name = zone.and_then(|zone| zone.iana_name().map(String::from)); // as the database spells it
    name.ok_or_else(|| "must be an IANA time zone such as \"America/New_York\"".into())
}

/// No instant is booked from here on, the year 9000: what counts for some time after a flight must still be a time.
const INSTANTS_END: UnixMillis = UnixMillis(221_845_392_000_000);

/// An instant: RFC 3339, or a date (its midnight) or local time in `zone`.
pub(super) fn instant(zone: &TimeZone) -> impl Fn(&Value) -> Read<UnixMillis> {
    move |value| {
        let bound =
            "must be an instant such as \"2026-01-01T00:00:00Z\" or a date such as \"2026-01-01\", from 1970 to 8999";
        let (Value::Text(text) | Value::Moment(text)) = value else { return Err(bound.into()) };
        if text.contains('[') {
            // RFC 9557. Read as an instant, a zone that contradicts the offset would go unnoticed.
            return Err(format!("{bound}; a zone in brackets has no place here: use `time_zone`"));
        }
        let parsed: Result<Timestamp, jiff::Error> = text.parse();
        let instant = parsed.or_else(|_| {
            let local: civil::DateTime = text.parse()?;
            zone.to_ambiguous_zoned(local).compatible().map(|zoned| zoned.timestamp())
        });
        let millis = instant.ok().and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
        millis.map(UnixMillis).filter(|at| *at < INSTANTS_END).ok_or_else(|| bound.into())
    }
}

/// The time over which a cap counts.
pub(super) fn per(value: &Value) -> Read<Per> {
    parsed(value, NoWindow::Per)
}

/// A length of time.
pub(super) fn length(value: &Value) -> Read<Rolling> {
    parsed(value, NoWindow::Rolling)
}

fn parsed<T: FromStr<Err = NoWindow>>(value: &Value, bound: NoWindow) -> Read<T> {
    str_of(value).map_err(|_| bound.to_string())?.parse().map_err(|bound: NoWindow| bound.to_string())
}

/// The longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// What players reach of ours: an HTTP URL, or a path at the origin's public address.
pub(super) fn media_url(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    let relative = text.starts_with('/') && !text.starts_with("//") && is_plain(text);
    if relative || is_web_url(text) {
        return Ok(text.into());
    }
    Err(format!(
        "must be an http(s) URL or a path from the origin's root such as \"/media/ad.webm\", of at most {URL_BYTES_MAX} \
         bytes"
    ))
}

/// Where somebody else's server is: an HTTP URL.
pub(super) fn web_url(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    if is_web_url(text) {
        return Ok(text.into());
    }
    Err(format!(
        "must be an http(s) URL such as \"https://example.com/x\", without a user in it, of at most {URL_BYTES_MAX} bytes"
    ))
}

fn is_plain(text: &str) -> bool {
    text.len() <= URL_BYTES_MAX && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte))
}

fn is_web_url(text: &str) -> bool {
    // Parsers forgive `https:///x` and `https:\\x`; who fires the URL may not.
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let written_out =
        rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['));
    let sound = |url: reqwest::Url| url.has_host() && url.username().is_empty() && url.password().is_none();
    written_out && is_plain(text) && reqwest::Url::parse(text).is_ok_and(sound)
}

/// A MIME type.
pub(super) fn mime_type(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    let sound = text.len() <= 127
        && text.split_once('/').is_some_and(|(kind, subtype)| !kind.is_empty() && !subtype.is_empty())
        && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if sound { Ok(text.into()) } else { Err("must be a MIME type such as \"video/webm\"".into()) }
}

/// An ISO 3166-1 alpha-2 code.
pub(super) fn country(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(text.into());
    }
    Err("must be two capital letters (ISO 3166-1) such as \"US\"".into())
}

/// An ISO 3166-2 code.
pub(super) fn region(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    let sound = text.split_once('-').is_some_and(|(country, part)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && (1..=3).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    });
    if sound { Ok(text.into()) } else { Err("must be a code of ISO 3166-2 such as \"US-CA\"".into()) }
}

/// RFC 6381's names of codecs.
pub(super) fn codecs(value: &Value) -> Read<String> {
    let text = str_of(value)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".,_+- ".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.into());
    }
    Err("must be the names of RFC 6381, such as \"avc1.64001f, mp4a.40.2\", of at most 128 bytes".into())
}

/// A time of day.
pub(super) fn time_of_day(value: &Value) -> Read<TimeOfDay> {
    str_of(value).ok().and_then(|text| text.parse().ok()).ok_or_else(|| NoTimeOfDay.to_string())
}

/// One of a set of named things.
fn one_of<T: Copy>(value: &Value, all: &[(&str, T)]) -> Read<T> {
    let text = str_of(value).unwrap_or_default();
    all.iter().find(|(name, _)| *name == text).map(|(_, one)| *one).ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        format!("must be one of {}", names.join(", "))
    })
}

/// A content rating.
pub(super) fn rating(value: &Value) -> Read<Rating> {
    let all: Vec<_> = Rating::ALL.iter().map(|rating| (rating.as_str(), *rating)).collect();
    one_of(value, &all)
}

/// `guaranteed` or `house`.
pub(super) fn class(value: &Value) -> Read<DemandClass> {
    one_of(value, &[("guaranteed", DemandClass::Guaranteed), ("house", DemandClass::House)])
}

/// How far an impression must play.
pub(super) fn threshold(value: &Value) -> Read<Quartile> {
    one_of(value, &Quartile::ALL.map(|quartile| (quartile.as_str(), quartile)))
}

/// What a cap counts together.
pub(super) fn cap_scope(value: &Value) -> Read<CapScope> {
    one_of(
        value,
        &[
            ("creative", CapScope::Creative),
            ("flight", CapScope::Flight),
            ("campaign", CapScope::Campaign),
            ("advertiser", CapScope::Advertiser),
        ],
    )
}

/// Where a break stands.
pub(super) fn position(value: &Value) -> Read<BreakPosition> {
    let all = [BreakPosition::Preroll, BreakPosition::Midroll, BreakPosition::Postroll];
    one_of(value, &all.map(|position| (position.as_str(), position)))
}

/// Where a break stands, by name.
pub(super) fn position_name(value: &Value) -> Read<String> {
    position(value).map(|position| position.as_str().into())
}

/// What a flight is sold as, and what a slot is for.
pub(super) fn placement(value: &Value) -> Read<Placement> {
    one_of(value, &[Placement::Ad, Placement::Bumper, Placement::Sponsorship].map(|one| (placement_name(one), one)))
}

/// A placement's name in files and tables.
pub(super) fn placement_name(placement: Placement) -> &'static str {
    match placement {
        Placement::Ad => "ad",
        Placement::Bumper => "bumper",
        Placement::Sponsorship => "sponsorship",
    }
}

/// Where in a pod a flight may stand.
pub(super) fn pod_position(value: &Value) -> Read<PodPosition> {
    one_of(value, &[PodPosition::Any, PodPosition::First, PodPosition::Last].map(|one| (pod_position_name(one), one)))
}

/// A pod position's name in files and tables.
pub(super) fn pod_position_name(position: PodPosition) -> &'static str {
    match position {
        PodPosition::Any => "any",
        PodPosition::First => "first",
        PodPosition::Last => "last",
    }
}

/// A day of the week.
pub(super) fn day(value: &Value) -> Read<Day> {
    one_of(value, &Day::ALL.map(|day| (day.as_str(), day)))
}

/// What can happen to an ad.
pub(super) fn event(value: &Value) -> Read<Event> {
    let all: Vec<_> = Event::ALL.iter().map(|event| (event.as_str(), *event)).collect();
    one_of(value, &all)
}

/// Who calls a vendor's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The origin, once the event is accepted.
    Server,
    /// Whoever plays the ad.
    Player,
}

/// `server` or `player`.
pub(super) fn caller(value: &Value) -> Read<Caller> {
    one_of(value, &[("server", Caller::Server), ("player", Caller::Player)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_value(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_cpm_is_read_exactly_or_not_at_all() {
        for (given, micros) in
            [("25.00", 25_000_000), ("0", 0), ("7.333333", 7_333_333), ("1000000", 1_000_000_000_000)]
        {
            assert_eq!(cpm(&text_value(given)), Ok(micros), "{given}");
        }
        for given in ["-3.00", "1000000.01", "1.0000001", "1,5", "", ".5", "5.", "+1", "1e3"] {
            assert!(cpm(&text_value(given)).is_err(), "{given}");
        }
        assert!(cpm(&Value::Other("25.0".into())).is_err(), "a float is no money");
    }

    #[test]
    fn a_date_is_its_midnight_in_the_time_zone_given() {
        let in_zone = |name: &str, text: &str| instant(&TimeZone::get(name).unwrap())(&text_value(text)).map(|at| at.0);
        assert_eq!(in_zone("UTC", "2026-01-01"), Ok(1_767_225_600_000));
        assert_eq!(in_zone("America/New_York", "2026-01-01"), Ok(1_767_225_600_000 + 5 * 3_600_000));
        assert_eq!(in_zone("America/New_York", "2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        assert_eq!(in_zone("America/New_York", "2026-07-01T12:00:00"), Ok(1_782_921_600_000));
        let annotated = ["2026-07-01T12:00:00[America/New_York]", "2026-07-01T12:00:00-04:00[Europe/Oslo]"];
        for odd in
            ["1969-12-31", "2026-02-30", "tomorrow", "2026-13-01T00:00:00Z", "9000-01-02"].into_iter().chain(annotated)
        {
            assert!(in_zone("UTC", odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn media_are_urls_or_paths_of_the_origin() {
        assert!(["http://a/b", "https://a/b", "/media/x.webm"].iter().all(|url| media_url(&text_value(url)).is_ok()));
        assert!(
            ["//evil/x", "ftp://a", "media/x", "/a b", "javascript:x"]
                .iter()
                .all(|url| media_url(&text_value(url)).is_err())
        );
    }

    #[test]
    fn what_others_serve_has_a_host_and_no_user() {
        let longest = format!("https://v.example/{}", "x".repeat(URL_BYTES_MAX - 18));
        for sound in ["http://a", "https://v.example/p?e=[ERRORCODE]&cb=[CACHEBUSTING]", "https://[::1]:8/x", &longest]
        {
            assert!(web_url(&text_value(sound)).is_ok(), "{sound}");
        }
        let odd = [
            "/x",
            "https://",
            "http:///x",
            "https:a.example",
            "HTTPS://a",
            "https://u@a/",
            "https://:p@a/",
            "https://a b/",
        ];
        for odd in odd.into_iter().chain([format!("{longest}x").as_str(), "javascript:alert(1)", "https://ä.example/"])
        {
            assert!(web_url(&text_value(odd)).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_region_is_a_country_and_a_part_of_it() {
        assert!(["US-CA", "DE-BY", "GB-ENG", "FR-75C", "CZ-1"].iter().all(|text| region(&text_value(text)).is_ok()));
        assert!(
            ["US", "us-ca", "US-", "US-CALI", "USA-CA", "US-C A", "-CA"]
                .iter()
                .all(|text| region(&text_value(text)).is_err())
        );
    }
}
