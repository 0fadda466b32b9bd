-- What recording a push takes beside reading: the role of the demo may add to the notification history, and change nothing.
GRANT INSERT ON user_notifications TO pushctl
