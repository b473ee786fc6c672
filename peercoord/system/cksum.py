"""The CRC of POSIX `cksum` (IEEE Std 1003.1): a peer written in sh computes the same shard (NAM-6)."""

from __future__ import annotations


def _crc_table() -> tuple[int, ...]:
    table = []
    for nibble in range(16):
        value = nibble << 28
        for _ in range(4):
            value = (value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)
        table.append(value & 0xFFFFFFFF)
    return tuple(table)


_CRC = _crc_table()


def cksum(data: bytes) -> int:
    """Return the CRC that POSIX ``cksum`` prints."""
    crc, length, tail = 0, len(data), bytearray()
    while length:
        tail.append(length & 0xFF)
        length >>= 8
    for byte in (*data, *tail):
        crc = ((crc << 4) & 0xFFFFFFFF) ^ _CRC[(crc >> 28) ^ (byte >> 4)]
        crc = ((crc << 4) & 0xFFFFFFFF) ^ _CRC[(crc >> 28) ^ (byte & 0x0F)]
    return crc ^ 0xFFFFFFFF
