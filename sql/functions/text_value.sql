-- An id as it is stored: in NFC, without invisible characters at its ends (macro text_value).
create or replace function two_tower.text_value(p_text text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return regexp_replace(
    normalize(p_text, nfc),
    '^[\u0001-\u0020\u007f-\u00a0\u00ad-\u00ad\u034f-\u034f\u061c-\u061c\u115f-\u1160'
    '\u1680-\u1680\u17b4-\u17b5\u180e-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f'
    '\u3000-\u3000\u3164-\u3164\ufeff-\ufeff\uffa0-\uffa0\ufff9-\ufffb]+'
    '|[\u0001-\u0020\u007f-\u00a0\u00ad-\u00ad\u034f-\u034f\u061c-\u061c\u115f-\u1160'
    '\u1680-\u1680\u17b4-\u17b5\u180e-\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f'
    '\u3000-\u3000\u3164-\u3164\ufeff-\ufeff\uffa0-\uffa0\ufff9-\ufffb]+$',
    '', 'g'
);
