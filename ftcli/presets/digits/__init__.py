"""The built-in demo's checkpoint and how it was made: rendered digits, pretrained on by ftcli itself."""
