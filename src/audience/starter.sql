-- The audience NAME. The lines with --| are its header, in TOML; the rest is one SELECT.
-- Change the two places that are marked, and the columns to those that your texts need.
--
--| title = "Users who joined lately"
--| about = "Users of the last days, newest first."
--| base = "every user"
--| order = "joined_at DESC, user_id"
--| times = ["joined_at"]
--
-- A parameter is a flag of `pushctl generate NAME`: --days. In the SQL it is :days.
--| [parameters.days]
--| type = "integer"
--| default = 30
--| min = 1
--| max = 3650
--| help = "Maximum days since the user joined"
--
-- Change 2: the conditions. A user leaves at the first that does not hold. They use the columns of the SELECT;
-- :as_of is the time of the run.
--| [[stages]]
--| name = "new"
--| keep = "joined_at >= :as_of - make_interval(days => :days)"
--| left = "joined too long ago"
--| show = ["joined_at"]
--
-- The file that is written. Each of its columns is a variable in a push: [[var:joined_at]].
--| [[files]]
--| stem = "NAME"
--| help = "users who joined lately"
--| columns = ["user_id", "joined_at"]

-- Change 1: the table with your users, its id and its time. One row for each user that is considered.
SELECT u.id         AS user_id,
       u.created_at AS joined_at
FROM users u
