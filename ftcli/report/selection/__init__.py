"""What a report says of picks by another rule than the usual one."""
