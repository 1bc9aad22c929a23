"""What old, simple formats claim of their length, of which libsndfile gives only what the file holds."""

from __future__ import annotations

import re
import struct

import soundfile

SAMPLES = re.compile(rb"\bsample_count -i (\d{1,15})\b")


def claimed_frames(file: soundfile.SoundFile, head: bytes, size: int) -> int | None:
    """How many frames a file claims, None if its format says nothing or is another one.

    Of its `size` bytes, `head` are the first ones. NIST SPHERE and AVR count frames; VOC and IFF (8SVX, 16SV) count the
    bytes of a block or chunk, and if that reaches beyond the file's end, the sound lacks that much.
    """
    try:
        if file.format == "NIST":
            return int(found[1]) if (found := SAMPLES.search(head)) else None
        if file.format == "AVR":
            return int(struct.unpack_from(">I", head, 26)[0])
        if file.format == "VOC":
            (start,) = struct.unpack_from("<H", head, 20)
            end = start + 4 + int.from_bytes(head[start + 1 : start + 4], "little")
        elif file.format == "SVX" and (start := head.find(b"BODY")) >= 0:
            end = start + 8 + struct.unpack_from(">I", head, start + 4)[0]
        else:
            return None
    except struct.error:  # it ends within its header
        return None
    width = 1 if file.subtype in ("PCM_S8", "PCM_U8", "ULAW", "ALAW") else 2
    return int(file.frames) + max(0, end - size) // (width * file.channels)
