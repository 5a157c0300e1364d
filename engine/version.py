"""The version of Hookflash, in one place."""

VERSION = "0.1.0"
