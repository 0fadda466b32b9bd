-- Users with enough pushes of a layer in the window; the window's end is as_of, so that a past as_of repeats itself.
SELECT user_id
  FROM user_notifications
 WHERE layer_id = current_setting('pushctl.layer')::integer
   AND sent_at >= current_setting('pushctl.as_of')::timestamptz
                  - make_interval(days => current_setting('pushctl.within_days')::integer)
   AND sent_at <= current_setting('pushctl.as_of')::timestamptz
 GROUP BY user_id
HAVING count(*) >= current_setting('pushctl.at_least')::integer
 ORDER BY user_id
