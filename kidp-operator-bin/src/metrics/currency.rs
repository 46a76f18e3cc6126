//! Currencies as labels: the codes of ISO 4217 that are money in use. A price book may say any three letters, and a label
//! takes words of this program only.

const CODES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF \
    CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF \
    IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT \
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR \
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV \
    WST XAF XCD XOF XPF YER ZAR ZMW ZWG";

/// The code, or `other` for one that is none of these.
pub(super) fn word(code: &str) -> &'static str {
    let known = CODES.split_ascii_whitespace().find(|known| *known == code);
    known.unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_itself_and_anything_else_is_other() {
        assert_eq!(word("EUR"), "EUR");
        for text in ["eur", "AAA", "", "EUR USD"] {
            assert_eq!(word(text), "other", "{text}");
        }
    }
}
