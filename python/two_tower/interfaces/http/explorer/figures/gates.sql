-- What was the last attempt to release a version checked for, and did it pass?
select version, check_name, passed, value, requirement, threshold, note
from two_tower.promotion_checks
where attempt = (select max(attempt) from two_tower.promotion_checks)
order by passed, check_name;
