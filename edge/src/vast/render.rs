//! The document around the ads, and each ad's own part. The order of elements is that of the IAB's schemas, which is not the
//! same in versions 2 and 3 as in 4.

use slotkeeper_core::{beacon::Event, contract::Verification, keys::Keyring};

use super::{Form, Show, Version, linear};
use crate::xml::Xml;

const SYSTEM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Nothing to play: no ad, and where to say so. VAST 2 has no place for that.
pub(super) fn no_ad(form: &Form<'_>, error_token: Option<String>) -> Vec<u8> {
    document(form, |xml| {
        if let Some(token) = error_token.filter(|_| form.version > Version::V2) {
            xml.url("Error", &[], &format!("{}/v1/t/{token}?c=[ERRORCODE]", form.base));
        }
    })
}

/// The ads, in playing order.
pub(super) fn pod(shows: &[Show<'_>], form: &Form<'_>, keys: &Keyring) -> Vec<u8> {
    document(form, |xml| {
        for show in shows {
            ad(xml, show, form, keys);
        }
    })
}

fn document(form: &Form<'_>, content: impl FnOnce(&mut Xml)) -> Vec<u8> {
    let mut xml = Xml::new();
    xml.element("VAST", &[("version", Some(form.version.as_str()))], content);
    xml.finish()
}

fn ad(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    let (id, sequence) = (show.ad.ad_id.to_string(), show.number.to_string());
    let sequence = Some(sequence.as_str()).filter(|_| form.version > Version::V2);
    xml.element("Ad", &[("id", Some(&id)), ("sequence", sequence)], |xml| {
        let inline = if form.version.is_4() { inline_4 } else { inline_2_and_3 };
        xml.element("InLine", &[], |xml| inline(xml, show, form, keys));
    });
}

fn inline_4(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    system(xml);
    errors(xml, show, form, keys);
    impression(xml, show, form, keys);
    viewable_impression(xml, show, form, keys);
    xml.text("AdServingId", &[], &show.slot.opportunity_id.to_string());
    title(xml, show);
    verifications(xml, show);
    advertiser(xml, show);
    for category in show.ad.presentation.categories.iter().filter(|category| !category.code.trim().is_empty()) {
        xml.text("Category", &[("authority", Some(&category.authority))], &category.code);
    }
    xml.element("Creatives", &[], |xml| linear::creative(xml, show, form, keys));
    let seconds = show.token.expires_at.since_ms(form.now) / 1000;
    xml.text("Expires", &[], &seconds.to_string());
}

fn inline_2_and_3(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    system(xml);
    title(xml, show);
    if form.version == Version::V3 {
        advertiser(xml, show);
    }
    errors(xml, show, form, keys);
    impression(xml, show, form, keys);
    xml.element("Creatives", &[], |xml| linear::creative(xml, show, form, keys));
    let of_creative = form.version == Version::V2;
    if of_creative || is_verified(show) {
        xml.element("Extensions", &[], |xml| {
            if is_verified(show) {
                xml.element("Extension", &[("type", Some("AdVerifications"))], |xml| verifications(xml, show));
            }
            if of_creative {
                linear::extensions(xml, "Extension", show, form);
            }
        });
    }
}

fn system(xml: &mut Xml) {
    xml.text("AdSystem", &[("version", Some(SYSTEM_VERSION))], "Slotkeeper");
}

fn title(xml: &mut Xml, show: &Show<'_>) {
    match show.ad.name.trim() {
        "" => xml.text("AdTitle", &[], &format!("Ad {}", show.ad.ad_id)),
        name => xml.text("AdTitle", &[], name),
    }
}

fn advertiser(xml: &mut Xml, show: &Show<'_>) {
    if let Some(advertiser) = &show.ad.presentation.advertiser {
        xml.text("Advertiser", &[], advertiser);
    }
}

/// Ours, and the vendors'; VAST 2 has room for one.
fn errors(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    xml.url("Error", &[], &show.pixel(Event::Error, form, keys));
    if form.version > Version::V2 {
        show.trackers(Event::Error, form).for_each(|url| xml.url("Error", &[], &url));
    }
}

/// The impression is the `start`: the same URL, so whichever of them a player asks for, and both, count once.
fn impression(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    xml.url("Impression", &[("id", Some("slotkeeper"))], &show.pixel(Event::Start, form, keys));
}

/// Whether it was in view, by whoever can tell.
fn viewable_impression(xml: &mut Xml, show: &Show<'_>, form: &Form<'_>, keys: &Keyring) {
    let said = [
        ("Viewable", Event::Viewable),
        ("NotViewable", Event::NotViewable),
        ("ViewUndetermined", Event::ViewUndetermined),
    ];
    xml.element("ViewableImpression", &[("id", Some("slotkeeper"))], |xml| {
        for (name, event) in said {
            xml.url(name, &[], &show.pixel(event, form, keys));
            show.trackers(event, form).for_each(|url| xml.url(name, &[], &url));
        }
    });
}

fn booked_verifications<'a>(show: &'a Show<'_>) -> impl Iterator<Item = &'a Verification> {
    show.ad.presentation.verifications.iter().filter(|script| !script.url.trim().is_empty())
}

fn is_verified(show: &Show<'_>) -> bool {
    booked_verifications(show).next().is_some()
}

fn verifications(xml: &mut Xml, show: &Show<'_>) {
    if !is_verified(show) {
        return;
    }
    xml.element("AdVerifications", &[], |xml| {
        for script in booked_verifications(show) {
            xml.element("Verification", &[("vendor", Some(&script.vendor))], |xml| {
                let framework = [("apiFramework", Some("omid")), ("browserOptional", Some("true"))];
                xml.url("JavaScriptResource", &framework, &script.url);
                if let Some(parameters) = &script.parameters {
                    xml.cdata("VerificationParameters", &[], parameters);
                }
            });
        }
    });
}
