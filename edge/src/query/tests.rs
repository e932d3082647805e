use proptest::{collection::vec, option, prelude::*};

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn parse(query: &str) -> Result<BreakQuery, InvalidField> {
    BreakQuery::parse(query, NOW)
}

#[test]
fn what_a_player_says_becomes_a_break_request() {
    let query = "profile=p%2F1&title=film+one&slots=30,15.5&position=midroll&session=s&request_id=r&tier=ads&country=US\
                 &region=US-CA&device=tv&segments=a%2Cb&prev=12,15&gdpr=1&gdpr_consent=CP&gpp=DB~1&gpp_sid=7,8&gpc=1&lmt=0\
                 &cb=%%CACHEBUSTER%%&cb=2&v=4.3";
    let asked = parse(query).unwrap();
    let slot = |ms| SlotRequest { max_duration_ms: ms, ..SlotRequest::default() };
    let expected = BreakRequest {
        request_id: "r".into(),
        profile_id: "p/1".into(),
        session_id: Some("s".into()),
        title_id: "film one".into(),
        position: BreakPosition::Midroll,
        slots: vec![slot(30_000), slot(15_500)],
        tier: Some("ads".into()),
        country: Some("US".into()),
        region: Some("US-CA".into()),
        device: Some("tv".into()),
        segments: vec!["a".into(), "b".into()],
        previous_ads: vec![AdId(12), AdId(15)],
        privacy: Privacy {
            gdpr: Some(true),
            tcf: Some("CP".into()),
            gpp: Some("DB~1".into()),
            gpp_sid: vec![7, 8],
            gpc: true,
            lmt: false,
        },
        ..BreakRequest::default()
    };
    assert_eq!(asked, BreakQuery { request: expected, title_break: None });
}

#[test]
fn a_pod_is_said_in_the_words_of_openrtb() {
    let query = "profile=p&title=t&request_id=r&poddur=120&maxseq=6&minduration=6&maxduration=60.25&rqddurs=15,30&mincpmpersec=0.35";
    let pod = PodRequest {
        duration_ms: 120_000,
        max_ads: 6,
        min_ad_ms: 6_000,
        max_ad_ms: 60_250,
        durations_ms: vec![15_000, 30_000],
        min_cpm_micros_per_second: 350_000,
    };
    assert_eq!(parse(query).unwrap().request.pod, Some(pod));
    assert_eq!(parse("profile=p&title=t&poddur=60").unwrap().request.pod.unwrap().max_ads, 16);
}

#[test]
fn a_request_without_an_id_gets_one_of_its_own() {
    let id = |query: &str, now| BreakQuery::parse(query, now).unwrap().request.request_id;
    let (query, later) = ("profile=p&title=t&slots=30", NOW.plus_ms(1));
    assert_eq!(id(query, NOW), id(query, NOW), "asked twice at once, it is one break");
    assert_ne!(id(query, NOW), id(query, later));
    assert_ne!(id(query, NOW), id("profile=p&title=t&slots=30&cb=7", NOW));
    assert_eq!(id("profile=p&title=t&slots=30&request_id=r", NOW), "r");
}

#[test]
fn every_fault_names_the_parameter_and_the_bound() {
    let long = "a".repeat(QUERY_BYTES_MAX);
    let cases = [
        ("title=t&slots=30", "profile", "missing"),
        ("profile=&title=t&slots=30", "profile", "missing"),
        ("profile=p&slots=30", "title", "missing"),
        ("profile=p&title=t", "slots", "Say slots, poddur or break"),
        ("profile=p&profile=q&title=t&slots=30", "profile", "given twice"),
        ("profile=p&%70rofile=q&title=t&slots=30", "profile", "given twice"),
        ("profile=%zz&title=t&slots=30", "profile", "percent-encoded"),
        ("profile=%f&title=t&slots=30", "profile", "percent-encoded"),
        ("profile=%ff&title=t&slots=30", "profile", "percent-encoded UTF-8"),
        ("profile=%C3%A9&title=t&slots=30", "profile", "printable ASCII"),
        ("profile=p&title=t&slots=30,x", "slots", "\"30,x\""),
        ("profile=p&title=t&slots=+30", "slots", "seconds"),
        ("profile=p&title=t&slots=30.", "slots", "3 decimals"),
        ("profile=p&title=t&slots=30.0001", "slots", "3 decimals"),
        ("profile=p&title=t&slots=0.5", "slots", "500; it must be from 1000"),
        ("profile=p&title=t&slots=99999999999999999999", "slots", "seconds"),
        ("profile=p&title=t&slots=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "slots", "17 slots"),
        ("profile=p&title=t&slots=30&poddur=60", "poddur", "either slots or a pod"),
        ("profile=p&title=t&slots=30&maxseq=2", "maxseq", "poddur"),
        ("profile=p&title=t&poddur=60&maxseq=17", "maxseq", "from 1 to 16"),
        ("profile=p&title=t&poddur=60&minduration=61", "minduration", "at most 60000"),
        ("profile=p&title=t&poddur=60&mincpmpersec=-1", "mincpmpersec", "6 decimals"),
        ("profile=p&title=t&break=0", "break", "from 1"),
        ("profile=p&title=t&break=1&slots=30", "slots", "must not come with break"),
        ("profile=p&title=t&break=1&position=preroll", "position", "must not come with break"),
        ("profile=p&title=t&break=1&session=%0a", "session", "printable ASCII"),
        ("profile=p&title=t&slots=30&position=prerol", "position", "\"prerol\"; it must be preroll"),
        ("profile=p&title=t&slots=30&gdpr=yes", "gdpr", "0 or 1"),
        ("profile=p&title=t&slots=30&gpp_sid=7,", "gpp_sid", "whole numbers"),
        ("profile=p&title=t&slots=30&gpp_sid=65536", "gpp_sid", "whole numbers"),
        ("profile=p&title=t&slots=30&prev=-1", "prev", "whole numbers"),
        (&format!("profile={long}"), "query", "at most 8192"),
    ];
    for (query, field, message) in cases {
        let fault = parse(query).unwrap_err();
        assert_eq!(fault.field, field, "{query}: {fault}");
        assert!(fault.message.contains(message), "{query}: {fault}");
    }
}

fn caller_id() -> impl Strategy<Value = String> {
    "[ -~]{1,20}"
}

fn privacy_of() -> impl Strategy<Value = Privacy> {
    let flags = (option::of(any::<bool>()), any::<bool>(), any::<bool>());
    (flags, option::of("\\PC{1,20}"), option::of("\\PC{1,20}"), vec(any::<u16>(), 0..4))
        .prop_map(|((gdpr, gpc, lmt), tcf, gpp, gpp_sid)| Privacy { gdpr, tcf, gpp, gpp_sid, gpc, lmt })
}

fn pod_of() -> impl Strategy<Value = PodRequest> {
    let durations = (1_000_u32..600_000).prop_flat_map(|ms| (Just(ms), 0..=ms, 0..=ms));
    (durations, 1_u8..=16, vec(1_000_u32..600_000, 0..4), any::<u64>()).prop_map(
        |((ms, min, max), most, exact, floor)| PodRequest {
            duration_ms: ms,
            max_ads: most,
            min_ad_ms: min,
            max_ad_ms: max,
            durations_ms: exact,
            min_cpm_micros_per_second: floor,
        },
    )
}

/// What a query can say: a segment with a comma in it, it cannot.
fn query_of() -> impl Strategy<Value = BreakQuery> {
    let places = prop_oneof![
        (1_u16..).prop_map(|number| (Some(number), Vec::new(), None)),
        vec(1_000_u32..600_000, 1..=16).prop_map(|slots| (None, slots, None)),
        pod_of().prop_map(|pod| (None, Vec::new(), Some(pod))),
    ];
    let position =
        prop_oneof![Just(BreakPosition::Preroll), Just(BreakPosition::Midroll), Just(BreakPosition::Postroll)];
    let ids = (caller_id(), caller_id(), caller_id(), option::of(caller_id()));
    let viewer = (option::of(caller_id()), option::of(caller_id()), option::of(caller_id()), option::of(caller_id()));
    let lists = (vec("[ -+\\--~]{1,20}", 0..4), vec(any::<u32>().prop_map(AdId), 0..=16));
    (ids, viewer, lists, privacy_of(), position, places).prop_map(
        |(
            (request_id, profile_id, title_id, session_id),
            (tier, country, region, device),
            lists,
            privacy,
            position,
            places,
        )| {
            let (title_break, slots, pod) = places;
            let slots = slots.into_iter().map(|ms| SlotRequest { max_duration_ms: ms, ..SlotRequest::default() });
            let request = BreakRequest {
                request_id,
                profile_id,
                session_id,
                title_id,
                position: if title_break.is_some() { BreakPosition::default() } else { position },
                slots: slots.collect(),
                pod,
                tier,
                country,
                region,
                device,
                segments: lists.0,
                previous_ads: lists.1,
                privacy,
                ..BreakRequest::default()
            };
            BreakQuery { request, title_break }
        },
    )
}

proptest! {
    #[test]
    fn what_is_rendered_reads_back_as_it_was(query in query_of()) {
        prop_assert_eq!(BreakQuery::parse(&query.render(), NOW), Ok(query));
    }

    #[test]
    fn no_query_panics(text in "\\PC{0,60}", tail in "(profile|title|slots|poddur|break|rqddurs)=[0-9.,%+-]{0,30}") {
        let _ = parse(&text);
        let _ = parse(&format!("profile=p&title=t&{tail}&{text}"));
    }
}
