"""Tags before, after and between sound: titles, pictures, lyrics."""

from __future__ import annotations

from runtime.audio.containers.mapped import Bytes

ID3V1 = 128
LONGEST_LYRICS = 1 << 20


def tag_size(data: Bytes, at: int) -> int:
    """The size in bytes of the tag that begins here, 0 if there is none: ID3v1, ID3v2, APEv1 and 2, Lyrics3."""
    head = data[at : at + 32]
    if head.startswith(b"ID3") and len(head) >= 10 and max(head[6:10]) < 128:
        return 10 + sum(byte << 7 * (3 - k) for k, byte in enumerate(head[6:10])) + (10 if head[5] & 0x10 else 0)
    if head.startswith(b"APETAGEX") and len(head) == 32:
        has_header = bool(head[23] & 0x80)  # else this is the footer of a tag without one
        return int.from_bytes(head[12:16], "little") + 32 if has_header else 32
    if head.startswith(b"TAG"):
        return ID3V1
    if head.startswith(b"LYRICSBEGIN"):
        for end in (b"LYRICS200", b"LYRICSEND"):
            if (found := data.find(end, at, at + LONGEST_LYRICS)) >= 0:
                return found + len(end) - at
    return 0
