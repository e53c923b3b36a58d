//! The live page of a real run, in a browser: what it shows, and what its buttons do.

use crate::running::{LONG_RUN, Running};
use crate::sse::Site;
use services::browser::checks::{
    PLOTS, check_alone, check_dark, check_drawn, check_phone, click, say_that_there_is_no_browser,
};
use services::browser::{self, Page};

fn until_done(page: &mut Page, what: &str) {
    page.until(&format!(
        "[...document.querySelectorAll('#done li')].some(done => done.textContent.includes('{what}'))"
    ));
}

#[test]
fn the_live_page_draws_steers_and_asks_only_its_own_server() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let running = Running::start(&[&["run", "--live", "0"], &LONG_RUN[..]].concat());
    let site = Site::of(&running.says("live: "));
    let mut page = Page::start(&binary);

    page.open(&site.url());

    page.until("document.querySelectorAll('#plots svg').length === 4 && state.moments.length > 2");
    let drawn = page.evaluate(PLOTS);
    check_drawn(&drawn, 4);
    assert_eq!(page.evaluate("document.querySelectorAll('.tile').length"), 7);
    assert_eq!(page.evaluate("document.getElementById('badge').textContent"), "measuring");
    click(&mut page, "#faster");
    until_done(&mut page, "rate set to 250/s");
    click(&mut page, "#pause");
    until_done(&mut page, "paused");
    page.until("document.querySelectorAll('rect.shade').length === 4");
    click(&mut page, "#pause");
    until_done(&mut page, "resumed");
    click(&mut page, "#storm button");
    until_done(&mut page, "storm: 1 users");
    check_dark(&mut page);
    check_phone(&mut page);
    click(&mut page, "#stop");
    assert_eq!(page.evaluate("document.getElementById('stop').textContent"), "Really stop?");
    click(&mut page, "#stop");
    page.until("document.getElementById('badge').textContent === 'valid'");
    check_alone(&page, &site.url());
    assert_eq!(running.ends().0.code(), Some(0));
}
