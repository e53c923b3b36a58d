//! Whether a classic database's texts were taken for GBK, judged over all of them.
//!
//! One text proves little: a short Chinese one may happen to be the misreading of another. All of them together do,
//! since a database is filled by one kind of server: if nothing in it can only be genuine, what looks misread is.

use super::misread::{Misread, Origin};

/// How the texts got into the classic database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// To be found out from the texts.
    #[default]
    Auto,
    /// As they are: nothing is repaired.
    Utf8,
    /// Over a connection set to GBK by clients that speak UTF-8: whatever can be repaired is.
    Gbk,
}

/// Of so many texts that can only be genuine, one that looks misread is taken for chance.
const GENUINE_PER_MISREAD: usize = 100;

/// What has been seen in the texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    genuine: usize,
    misread: usize,
}

/// What is to be repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Nothing,
    /// What is convincing by itself.
    Convincing,
    Everything,
}

impl Evidence {
    pub fn add(&mut self, origin: &Origin) {
        match origin {
            Origin::Genuine => self.genuine += 1,
            Origin::Misread(Misread { convincing: true, .. }) => self.misread += 1,
            Origin::Misread(_) | Origin::Ascii => {}
        }
    }

    pub fn verdict(self, encoding: Encoding) -> Verdict {
        match encoding {
            Encoding::Utf8 => Verdict::Nothing,
            Encoding::Gbk => Verdict::Everything,
            Encoding::Auto if self.misread * GENUINE_PER_MISREAD < self.genuine.max(1) => Verdict::Nothing,
            Encoding::Auto if self.genuine > 0 => Verdict::Convincing,
            Encoding::Auto => Verdict::Everything,
        }
    }
}

impl Verdict {
    pub fn repairs(self, misread: &Misread) -> bool {
        // Without a single character left there is nothing to be won.
        misread.kept > 0
            && match self {
                Verdict::Nothing => false,
                Verdict::Convincing => misread.convincing,
                Verdict::Everything => true,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::super::misread::origin;
    use super::*;

    fn verdict(texts: &[&str]) -> Verdict {
        let mut evidence = Evidence::default();
        texts.iter().for_each(|text| evidence.add(&origin(text)));
        evidence.verdict(Encoding::Auto)
    }

    #[test]
    fn the_whole_database_decides() {
        assert_eq!(verdict(&[]), Verdict::Nothing);
        assert_eq!(verdict(&["zhang san", "123456"]), Verdict::Nothing);
        assert_eq!(verdict(&["模", "茅"]), Verdict::Nothing, "nothing convinces");
        assert_eq!(verdict(&["张三", "模"]), Verdict::Nothing);
        assert_eq!(verdict(&["寮犱笁", "茅", "x"]), Verdict::Everything);
        assert_eq!(verdict(&["寮犱笁", "李四"]), Verdict::Convincing);
        let many = vec!["李四"; GENUINE_PER_MISREAD + 1];
        assert_eq!(verdict(&[&many[..], &["寮犱笁"]].concat()), Verdict::Nothing, "chance");
        assert_eq!(verdict(&[&many[..], &["寮犱笁", "浣犲ソ"]].concat()), Verdict::Convincing);
    }

    #[test]
    fn what_is_said_counts_more_than_what_is_seen() {
        let mut evidence = Evidence::default();
        evidence.add(&origin("寮犱笁"));
        assert_eq!(evidence.verdict(Encoding::Utf8), Verdict::Nothing);
        assert_eq!(Evidence::default().verdict(Encoding::Gbk), Verdict::Everything);
    }
}
