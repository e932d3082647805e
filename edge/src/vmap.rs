//! `GET /v1/vmap`: where a title's breaks are, and where to ask for each, as VMAP 1.0.1.
//!
//! Nothing is decided here: leases would run out before a viewer comes to the last break. Each break's tag names its number
//! and a request id of its own, so that a tag that is loaded again is the same break.

use core::fmt::Write as _;

use slotkeeper_core::{
    api::{CALLER_ID_BYTES_MAX, InvalidField},
    contract::{BreakPosition, TitleBreak},
    id::mint_request_id,
    plan::Plan,
};

use crate::{
    Platform, Reply,
    query::{BreakQuery, Params, fault},
    route::Tag,
    vast::{Form, MEDIA_TYPE, Version, clock, form},
    xml::Xml,
};

/// How much a break's number may add to a request id, in bytes.
const NUMBER_BYTES_MAX: usize = ".65535".len();

/// Answers a title's breaks. A title without breaks, and one that the plan does not know, has none: an empty VMAP.
pub(crate) async fn answer(platform: &impl Platform, tag: &Tag) -> Reply {
    let now = platform.now();
    let read = Params::new(&tag.query).and_then(|params| Ok((form(&params, &tag.base, now)?, viewing(&params, now)?)));
    let (form, viewing) = match read {
        Ok(read) => read,
        Err(fault) => return Reply::invalid(fault),
    };
    let bytes = platform.plan(None).await;
    let Some(plan) = bytes.as_deref().and_then(|bytes| Plan::open(bytes).ok()) else {
        let message = "there is no plan here to look the title's breaks up in; try again";
        return Reply::try_again("plan_unavailable", message.into());
    };
    let (_, breaks) = plan.title_breaks(&viewing.asked.request.title_id).unwrap_or_default();
    Reply::new(200, MEDIA_TYPE, render(&breaks, &viewing, &form))
}

/// One viewing of one title: what all its breaks' requests share.
struct Viewing {
    asked: BreakQuery,
    /// Whether the caller chose the request id, or it was made up here.
    is_named: bool,
}

fn viewing(params: &Params<'_>, now: slotkeeper_core::time::UnixMillis) -> Result<Viewing, InvalidField> {
    if let Some(number) = params.get("break")? {
        return Err(fault("break", format!("{number:?}; it must not be given: a VMAP has all the title's breaks")));
    }
    let named = params.get("request_id")?;
    let (len, most) = (named.as_ref().map_or(0, String::len), CALLER_ID_BYTES_MAX - NUMBER_BYTES_MAX);
    if len > most {
        return Err(fault("request_id", format!("{len} bytes; of a VMAP it must have at most {most}")));
    }
    // All but the number is as in each break's own request.
    let asked = BreakQuery::parse(&format!("{}&break=1", params.as_str()), now)?;
    Ok(Viewing { asked, is_named: named.is_some() })
}

impl Viewing {
    /// The query of its break of this number.
    fn query_of(&self, number: u16, form: &Form<'_>) -> String {
        let mut asked = BreakQuery { title_break: Some(number), ..self.asked.clone() };
        let id = &mut asked.request.request_id;
        if self.is_named {
            let _ = write!(id, ".{number}"); // writing to a String cannot fail
        } else {
            *id = mint_request_id(format!("{id}.{number}").as_bytes(), form.now);
        }
        let not_used = if form.not_used { "&notused=1" } else { "" };
        format!("{}&v={}{not_used}", asked.render(), form.version.as_str())
    }
}

fn render(breaks: &[TitleBreak], viewing: &Viewing, form: &Form<'_>) -> Vec<u8> {
    let mut xml = Xml::new();
    let root = [("xmlns:vmap", Some("http://www.iab.net/videosuite/vmap")), ("version", Some("1.0"))];
    xml.element("vmap:VMAP", &root, |xml| {
        for (at, number) in breaks.iter().zip(1..) {
            ad_break(xml, at, number, viewing, form);
        }
    });
    xml.finish()
}

fn ad_break(xml: &mut Xml, at: &TitleBreak, number: u16, viewing: &Viewing, form: &Form<'_>) {
    let offset = match at.position {
        BreakPosition::Preroll => "start".into(),
        BreakPosition::Midroll => clock(at.at_ms),
        BreakPosition::Postroll => "end".into(),
    };
    let id = format!("break-{number}");
    let attributes = [("timeOffset", Some(offset.as_str())), ("breakType", Some("linear")), ("breakId", Some(&id))];
    let source = [("id", Some(id.as_str())), ("allowMultipleAds", Some("true")), ("followRedirects", Some("true"))];
    let template = match form.version {
        Version::V2 => "vast2",
        Version::V3 => "vast3",
        Version::V42 | Version::V43 => "vast4",
    };
    xml.element("vmap:AdBreak", &attributes, |xml| {
        xml.element("vmap:AdSource", &source, |xml| {
            let url = format!("{}/v1/vast?{}", form.base, viewing.query_of(number, form));
            xml.url("vmap:AdTagURI", &[("templateType", Some(template))], &url);
        });
    });
}

#[cfg(test)]
mod tests {
    use slotkeeper_core::time::UnixMillis;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn of(query: &str) -> Result<String, InvalidField> {
        let params = Params::new(query)?;
        let form = form(&params, "https://ads.example", NOW)?;
        let at = |position, at_ms| TitleBreak { position, at_ms, ..TitleBreak::default() };
        let breaks =
            [at(BreakPosition::Preroll, 0), at(BreakPosition::Midroll, 3_725_040), at(BreakPosition::Postroll, 0)];
        Ok(String::from_utf8(render(&breaks, &viewing(&params, NOW)?, &form)).unwrap())
    }

    fn errors(document: &str) -> Vec<&'static str> {
        let issues = vastlint_core::validate(document).issues.into_iter();
        issues.filter(|issue| issue.severity == vastlint_core::Severity::Error).map(|issue| issue.message).collect()
    }

    #[test]
    fn every_break_has_its_place_and_a_tag_of_its_own() {
        let document = of("profile=p%26q&title=t&session=s&request_id=r&v=3").unwrap();
        assert_eq!(errors(&document), [""; 0], "{document}");
        for offset in ["start", "01:02:05.040", "end"] {
            assert_eq!(document.matches(&format!("timeOffset=\"{offset}\"")).count(), 1, "{document}");
        }
        let tag = "<vmap:AdTagURI templateType=\"vast3\"><![CDATA[https://ads.example/v1/vast?profile=p%26q&title=t\
                   &request_id=r.2&break=2&session=s&v=3.0]]></vmap:AdTagURI>";
        assert!(document.contains(tag), "{document}");
        assert_eq!(of("profile=p%26q&title=t&session=s&request_id=r&v=3").unwrap(), document);
    }

    #[test]
    fn breaks_of_one_load_have_ids_that_differ_and_read_back() {
        let document = of("profile=p&title=t&notused=1").unwrap();
        let tags: Vec<&str> = document.split("/v1/vast?").skip(1).map(|tag| tag.split("]]>").next().unwrap()).collect();
        let asked: Vec<_> = tags.iter().map(|tag| BreakQuery::parse(tag, NOW).unwrap()).collect();
        assert_eq!(asked.iter().map(|asked| asked.title_break).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        let ids: std::collections::BTreeSet<_> = asked.iter().map(|asked| &asked.request.request_id).collect();
        assert_eq!(ids.len(), 3);
        assert!(tags.iter().all(|tag| tag.ends_with("&v=4.3&notused=1")), "{tags:?}");
    }

    #[test]
    fn what_a_title_says_itself_is_not_asked_for() {
        let long = format!("profile=p&title=t&request_id={}", "r".repeat(123));
        let cases = [
            ("title=t", "profile"),
            ("profile=p&title=t&break=1", "break"),
            ("profile=p&title=t&slots=30", "slots"),
            ("profile=p&title=t&v=5", "v"),
            (&long, "request_id"),
        ];
        for (query, field) in cases {
            assert_eq!(of(query).unwrap_err().field, field, "{query}");
        }
    }
}
