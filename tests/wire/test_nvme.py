# SPDX-License-Identifier: BSD-3-Clause
"""A guest that drives its controller wrongly: doorbells, queues, PRPs, fields, all out of range."""

import struct
import time

import pytest

from umdevtest.nvme import (ABORT, ASYNC_EVENT, BAD_CQ, BAD_DELETION, BAD_FIELD, BAD_LOG_PAGE, BAD_NAMESPACE,
                            BAD_OPCODE, BAD_QID, BAD_QUEUE_SIZE, BAD_VECTOR, CAP, CC, CREATE_CQ, CREATE_SQ, CSTS,
                            DATASET, DELETE_CQ, DELETE_SQ, DOORBELL_BUFFER, DOORBELLS, FLUSH, GET_FEATURES, GET_LOG,
                            IDENTIFY, LBA_RANGE, PAGE, PRP_OFFSET, READ, SET_FEATURES, WRITE, WRITE_ZEROES, Nvme)

OUTSIDE = 0x7000000000  # no guest memory there
LAST = (1 << 64) - PAGE  # nor there
TRANSFER_ERRORS = {4, 0x280, 0x281}  # data transfer error, or the media's


def alive(nvme: Nvme) -> None:
    """Admin commands and I/O work."""
    assert nvme.identify(1)
    nvme.write(4000, b"alive" * 102 + b"..")
    assert nvme.read(4000, 512) == b"alive" * 102 + b".."


def start_over(nvme: Nvme) -> None:
    """A controller reset mends everything."""
    nvme.disable()
    nvme.enable()
    nvme.io_queue(1)
    alive(nvme)


def wait_fatal(nvme: Nvme) -> None:
    """The controller gives up on what its guest did."""
    nvme.wait_csts(2, 2)


# ---- doorbells


@pytest.mark.parametrize("qid", [2, 3, 63, 64, 65, 100, 511])
@pytest.mark.parametrize("completion", [False, True])
def test_doorbell_of_no_queue(drive, qid, completion):
    assert DOORBELLS + 8 * qid + 8 <= drive.client.region_info(0)["size"]
    for value in (0, 1, 63, 0xffff, 0xffffffff):
        drive.doorbell(qid, completion, value)
    alive(drive)


@pytest.mark.parametrize("qid, completion", [(0, False), (0, True), (1, False), (1, True)])
@pytest.mark.parametrize("value", ["size", 0x8000, 0xffff, 0x10000, 0xffffffff])
def test_doorbell_beyond_the_queue(drive, qid, completion, value):
    """Not taken; an asynchronous event tells, if somebody waits for one."""
    if value == "size":
        value = drive.queues[qid].entries
    cid = drive.submit(0, drive.sqe(ASYNC_EVENT))
    drive.ok(0, SET_FEATURES, cdw=[0x0b, 0xff])
    drive.doorbell(qid, completion, value)
    event = drive.wait(0, cid)
    assert event.status == 0
    assert event.result & 7 == 0 and event.result >> 8 & 0xff == 1, f"event {event.result:#x}"
    alive(drive)


def test_doorbell_past_the_last_register(drive):
    size = drive.client.region_info(0)["size"]
    for offset in range(size - 64, size, 4):
        drive.client.write32(0, offset, 0xffffffff)
        drive.client.read32(0, offset)
    alive(drive)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_doorbell_of_odd_width(drive, size):
    for offset in range(DOORBELLS, DOORBELLS + 32, size):
        drive.client.write(0, offset, b"\xff" * size)
    start_over(drive)


def test_doorbells_before_the_controller_runs(target):
    nvme = Nvme(target.qemu(target.memory()))
    for qid in range(8):
        nvme.doorbell(qid, False, 1)
        nvme.doorbell(qid, True, 1)
    nvme.enable()
    assert nvme.identify(1)


def test_completion_doorbell_that_runs_ahead(drive):
    """The guest claims to have read entries that were never written: its own loss."""
    drive.doorbell(1, True, 40)
    start_over(drive)


def test_completions_that_nobody_takes(drive):
    """A full completion queue stops the queue, not the controller."""
    queue = drive.queues[1]
    page = drive.pages()
    for _ in range(queue.entries - 1):
        drive.put(1, drive.sqe(READ, 1, page, 0, [0, 0, 0]))
    drive.ring(1)
    deadline = time.monotonic() + 5
    ring = b""
    while ring.count(b"\1\0") < 1 and time.monotonic() < deadline:
        ring = drive.memory.read(queue.cq, queue.entries * 16)
        drive.client.pump(0.01)
    for n in range(2):
        drive.memory.write(queue.sq + (queue.tail + n) % queue.entries * 64, drive.sqe(READ, 1, page, 0, [0, 0, 0]))
    queue.tail = (queue.tail + 2) % queue.entries
    drive.ring(1)
    assert drive.identify(1), "the admin queue stands still with it"
    drive.client.pump(0.05)
    while drive.reap(1):
        drive.client.pump(0.02)
    start_over(drive)


def test_all_queues_at_once(target):
    nvme = target.drive(queue=False)
    most = (nvme.ok(0, SET_FEATURES, cdw=[7, 0x003f003f]) & 0xffff) + 1
    for qid in range(1, most + 1):
        nvme.io_queue(qid, 16)
    assert nvme.create_cq(most + 1, 16, nvme.pages()).status == BAD_QID
    for qid in range(1, most + 1):
        nvme.write(qid * 8, bytes([qid]) * 512, qid=qid)
    for qid in range(1, most + 1):
        assert nvme.read(qid * 8, 512, qid=most + 1 - qid) == bytes([qid]) * 512


# ---- queues


@pytest.mark.parametrize("asq, acq", [(OUTSIDE, None), (None, OUTSIDE), (LAST, None), (None, LAST)])
def test_admin_queues_outside_memory(target, asq, acq):
    nvme = Nvme(target.qemu(target.memory()))
    sq, cq = nvme.pages(), nvme.pages()
    nvme.set_reg(0x24, 0x001f001f)
    nvme.set_reg(0x28, sq if asq is None else asq, 8)
    nvme.set_reg(0x30, cq if acq is None else acq, 8)
    nvme.bus_master()
    nvme.set_reg(CC, 0x00460001)
    nvme.memory.write(sq, nvme.sqe(IDENTIFY, prp1=nvme.pages(), cdw=[1]))
    nvme.doorbell(0, False, 1)
    wait_fatal(nvme)
    nvme.disable()
    nvme.enable()
    assert nvme.identify(1)


@pytest.mark.parametrize("sq, cq", [(OUTSIDE, None), (None, OUTSIDE), ((1 << 64) - PAGE, None)])
def test_io_queues_outside_memory(drive, sq, cq):
    own_sq, own_cq = drive.pages(), drive.pages()
    done = drive.create_cq(2, 64, own_cq if cq is None else cq)
    if not done.status:
        done = drive.create_sq(2, 64, own_sq if sq is None else sq)
    if not done.status:
        drive.memory.write(own_sq, drive.sqe(FLUSH, 1))
        drive.doorbell(2, False, 1)
        wait_fatal(drive)
    start_over(drive)


@pytest.mark.parametrize("cc", [
    0x00460071, 0x00460011, 0x00460801, 0x00460f81, 0x00000001, 0x00450001, 0x00360001, 0x00ff0001, 0xffffffff,
], ids=hex)
def test_configuration_that_cannot_be(target, cc):
    """Command set, page size, arbitration, entry sizes: no ready, or fatal, but a controller reset mends it."""
    nvme = Nvme(target.qemu(target.memory()))
    nvme.set_reg(0x24, 0x001f001f)
    nvme.set_reg(0x28, nvme.pages(), 8)
    nvme.set_reg(0x30, nvme.pages(), 8)
    nvme.set_reg(CC, cc)
    for _ in range(20):
        nvme.reg(CSTS)
    nvme.set_reg(CC, 0)
    nvme.wait_csts(1, 0)
    nvme.enable()
    nvme.io_queue(1)
    alive(nvme)


@pytest.mark.parametrize("aqa", [0, 0x00000fff, 0x0fff0000, 0xffffffff, 0x00010001], ids=hex)
def test_admin_queue_sizes(target, aqa):
    nvme = Nvme(target.qemu(target.memory()))
    nvme.set_reg(0x24, aqa)
    nvme.set_reg(0x28, nvme.pages(), 8)
    nvme.set_reg(0x30, nvme.pages(), 8)
    nvme.set_reg(CC, 0x00460001)
    nvme.doorbell(0, False, 1)
    nvme.reg(CSTS)
    nvme.disable()
    nvme.enable()
    assert nvme.identify(1)


def test_create_queue_errors(drive):
    page = drive.pages()
    most = (drive.reg(CAP, 8) & 0xffff) + 1
    assert drive.create_cq(0, 64, page).status == BAD_QID
    assert drive.create_cq(1, 64, page).status == BAD_QID, "it exists"
    assert drive.create_cq(0xffff, 64, page).status == BAD_QID
    assert drive.create_cq(2, 1, page).status == BAD_QUEUE_SIZE
    assert drive.create_cq(2, most + 1, page).status == BAD_QUEUE_SIZE
    assert drive.create_cq(2, 64, page, flags=0).status == BAD_FIELD, "queues are contiguous"
    assert drive.create_cq(2, 64, page + 4).status in (BAD_FIELD, PRP_OFFSET)
    assert drive.create_cq(2, 64, page, flags=3, vector=2048).status == BAD_VECTOR
    assert drive.create_sq(0, 64, page).status == BAD_QID
    assert drive.create_sq(1, 64, page).status == BAD_QID
    assert drive.create_sq(2, 64, page, cqid=2).status == BAD_CQ, "no such completion queue"
    assert drive.create_sq(2, 64, page, cqid=0).status == BAD_QID
    assert drive.create_sq(2, 64, page, cqid=0xffff).status == BAD_QID
    assert drive.create_sq(2, 1, page, cqid=1).status == BAD_QUEUE_SIZE
    assert drive.create_sq(2, most + 1, page, cqid=1).status == BAD_QUEUE_SIZE
    assert drive.create_sq(2, 64, page, flags=0, cqid=1).status == BAD_FIELD
    alive(drive)


def test_delete_queue_errors(drive):
    assert drive.admin(DELETE_SQ, cdw=[0]).status == BAD_QID
    assert drive.admin(DELETE_SQ, cdw=[7]).status == BAD_QID
    assert drive.admin(DELETE_CQ, cdw=[0]).status == BAD_QID
    assert drive.admin(DELETE_CQ, cdw=[7]).status == BAD_QID
    assert drive.admin(DELETE_CQ, cdw=[1]).status == BAD_DELETION, "a submission queue uses it"
    alive(drive)
    assert drive.admin(DELETE_SQ, cdw=[1]).status == 0
    assert drive.admin(DELETE_SQ, cdw=[1]).status == BAD_QID
    assert drive.admin(DELETE_CQ, cdw=[1]).status == 0
    drive.queues.pop(1)
    drive.io_queue(1)
    alive(drive)


def test_deleting_a_queue_with_commands_in_it(drive):
    for _ in range(10):
        page = drive.pages(32)
        prp1, prp2, _ = drive.prps(page, 0x20000)
        for _ in range(30):
            drive.put(1, drive.sqe(READ, 1, prp1, prp2, [0, 0, 255]))
        drive.ring(1)
        assert drive.admin(DELETE_SQ, cdw=[1]).status == 0
        drive.reap(1)
        assert drive.admin(DELETE_CQ, cdw=[1]).status == 0
        drive.queues.pop(1)
        drive.done.clear()
        drive.io_queue(1)
        alive(drive)
        drive.release(page, 32)


# ---- data pointers


@pytest.mark.parametrize("opcode", [READ, WRITE])
@pytest.mark.parametrize("addr", [OUTSIDE, (1 << 64) - PAGE, 0], ids=hex)
def test_prp_outside_memory(drive, opcode, addr):
    done = drive.command(1, opcode, nsid=1, prp1=addr, cdw=[0, 0, 7])
    assert done.status in TRANSFER_ERRORS
    alive(drive)


@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_second_prp_outside_memory(drive, opcode):
    done = drive.command(1, opcode, nsid=1, prp1=drive.pages(), prp2=OUTSIDE, cdw=[0, 0, 15])
    assert done.status in TRANSFER_ERRORS
    alive(drive)


@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_prp_list_outside_memory(drive, opcode):
    done = drive.command(1, opcode, nsid=1, prp1=drive.pages(), prp2=OUTSIDE, cdw=[0, 0, 63])
    assert done.status in TRANSFER_ERRORS
    alive(drive)


@pytest.mark.parametrize("bad", [OUTSIDE, (1 << 64) - PAGE], ids=hex)
@pytest.mark.parametrize("place", [0, 3, 6])
def test_prp_list_entry_outside_memory(drive, bad, place):
    """Nothing of the command may have an effect on others, wherever the bad entry stands."""
    drive.write(0, b"before" * 85 + b"..")
    listing = drive.pages()
    entries = [drive.pages() for _ in range(7)]
    entries[place] = bad
    drive.memory.write(listing, struct.pack("<7Q", *entries))
    for opcode in (READ, WRITE):
        done = drive.command(1, opcode, nsid=1, prp1=drive.pages(), prp2=listing, cdw=[0, 0, 63])
        assert done.status in TRANSFER_ERRORS
    assert drive.read(0, 512) == b"before" * 85 + b"..", "a write that failed wrote something"
    alive(drive)


def test_prp_offsets(drive):
    page = drive.pages(2)
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=page + 4, cdw=[0, 0, 15]).status == PRP_OFFSET
    assert drive.command(1, READ, nsid=1, prp1=page + 1, cdw=[0, 0, 0]).status == PRP_OFFSET
    listing = drive.pages()
    drive.memory.write(listing, struct.pack("<4Q", page, page + 512, page, page))
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing, cdw=[0, 0, 31]).status == PRP_OFFSET
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing + 4, cdw=[0, 0, 31]).status == PRP_OFFSET
    alive(drive)


def test_prp_list_that_points_to_itself(drive):
    """Its last entry leads to the same page again: as long as the command, not for ever."""
    listing = drive.pages()
    page = drive.pages()
    drive.memory.write(listing, struct.pack("<512Q", *([page] * 511), listing))
    done = drive.command(1, READ, nsid=1, prp1=page, prp2=listing, cdw=[0, 0, 2047])
    assert done.status == 0
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing + 4088, cdw=[0, 0, 2047]).status == 0
    alive(drive)


def test_data_into_its_own_queues(drive):
    """A read whose data overwrite the rings: the guest's own ruin."""
    queue = drive.queues[1]
    drive.write(0, b"\xff" * PAGE)
    drive.submit(1, drive.sqe(READ, 1, queue.sq, 0, [0, 0, 7]))
    drive.submit(1, drive.sqe(READ, 1, queue.cq, 0, [0, 0, 7]))
    drive.client.pump(0.05)
    assert drive.identify(1)
    start_over(drive)


def sgl(addr, length, kind=0):
    """One SGL descriptor."""
    return struct.pack("<QI3xB", addr, length, kind)


def sgl_command(nvme, descriptor, blocks=8, opcode=READ):
    """A command whose data pointer is an SGL."""
    prp1, prp2 = struct.unpack("<QQ", descriptor)
    return nvme.command(1, opcode, nsid=1, prp1=prp1, prp2=prp2, cdw=[0, 0, blocks - 1], flags=0x40)


def test_sgl(drive):
    page = drive.pages(2)
    drive.write(0, b"sgl!" * 1024)
    assert sgl_command(drive, sgl(page, 4096)).status == 0
    assert drive.memory.read(page, 4096) == b"sgl!" * 1024
    segment = drive.pages()
    drive.memory.write(segment, sgl(page + 4096, 512) + sgl(page, 3584))
    assert sgl_command(drive, sgl(segment, 32, 0x30)).status == 0
    assert drive.memory.read(page + 4096, 512) == b"sgl!" * 128


@pytest.mark.parametrize("descriptor, status", [
    (sgl(OUTSIDE, 4096), TRANSFER_ERRORS), (sgl(OUTSIDE, 32, 0x30), TRANSFER_ERRORS),
    (sgl((1 << 64) - 2048, 4096), TRANSFER_ERRORS), (sgl(0x100000, 4095), {0xf, 2}), (sgl(0x100000, 0), {0xf, 2}),
    (sgl(0x100000, 4096, 0x40), {0x11, 2}), (sgl(0x100000, 4096, 0xf0), {0x11, 2}),
    (sgl(0x100000, 4096, 0x0f), {0x11, 2}), (sgl(0x100000, 31, 0x30), {0xd, 0xe, 2}),
    (sgl(0x100000, 0, 0x20), {0xd, 0xe, 2}),
    (sgl(0x100000, 0xfffffff0, 0x30), TRANSFER_ERRORS | {0xd, 0xe, 0xf, 0x11, 2}),
], ids=lambda value: value.hex() if isinstance(value, bytes) else "")
def test_bad_sgl(drive, descriptor, status):
    assert sgl_command(drive, descriptor).status in status
    alive(drive)


def test_sgl_segments_without_end(drive):
    """Each segment names the next, round and round."""
    first, second = drive.pages(), drive.pages()
    drive.memory.write(first, sgl(second, 32, 0x20) * 2)
    drive.memory.write(second, sgl(first, 32, 0x20) * 2)
    assert sgl_command(drive, sgl(first, 32, 0x20)).status != 0
    page = drive.pages()
    drive.memory.write(first, sgl(page, 0) + sgl(second, 32, 0x20))
    drive.memory.write(second, sgl(page, 0) + sgl(first, 32, 0x20))
    assert sgl_command(drive, sgl(first, 32, 0x20)).status != 0
    alive(drive)


# ---- commands


@pytest.mark.parametrize("lba, blocks", [(-1, 2), (0, 1), (1 << 32, 8), ((1 << 64) - 1, 1), ((1 << 64) - 8, 16)])
def test_blocks_outside_the_namespace(drive, lba, blocks):
    total = drive.namespace()[0]
    first = total + lba if -1 <= lba <= 0 else lba
    page = drive.pages(2)
    for opcode in (READ, WRITE):
        done = drive.command(1, opcode, nsid=1, prp1=page, prp2=page + PAGE,
                             cdw=[first & 0xffffffff, first >> 32 & 0xffffffff, blocks - 1])
        assert done.status == LBA_RANGE and done.dnr
    done = drive.command(1, WRITE_ZEROES, nsid=1, cdw=[first & 0xffffffff, first >> 32 & 0xffffffff, blocks - 1])
    assert done.status == LBA_RANGE
    alive(drive)


def test_neighbouring_slice_cannot_be_reached(make_target):
    """The last block of one drive and the first of the next are other bytes."""
    first, second = make_target().drive(), make_target().drive()
    last = first.namespace()[0] - 1
    first.write(last, b"1" * 512)
    second.write(0, b"2" * 512)
    second.write(last, b"3" * 512)
    assert first.read(last, 512) == b"1" * 512
    assert first.command(1, WRITE, nsid=1, prp1=first.pages(), cdw=[last + 1, 0, 0]).status == LBA_RANGE
    assert second.read(0, 512) == b"2" * 512


@pytest.mark.parametrize("nsid", [0, 2, 0xfffffffe, 0xffffffff])
def test_namespace_that_is_not_there(drive, nsid):
    page = drive.pages()
    for opcode in (READ, WRITE, WRITE_ZEROES, DATASET):
        done = drive.command(1, opcode, nsid=nsid, prp1=page, cdw=[0, 0, 0])
        assert done.status in (BAD_NAMESPACE, BAD_FIELD)
    alive(drive)


@pytest.mark.parametrize("opcode", [0x03, 0x07, 0x0b, 0x7f, 0x80, 0xc1, 0xff])
def test_unknown_admin_opcode(drive, opcode):
    assert drive.admin(opcode).status == BAD_OPCODE
    alive(drive)


@pytest.mark.parametrize("opcode", [0x03, 0x06, 0x07, 0x0a, 0x7f, 0x80, 0xff])
def test_unknown_io_opcode(drive, opcode):
    assert drive.command(1, opcode, nsid=1).status == BAD_OPCODE
    alive(drive)


def test_more_than_the_largest_transfer(drive):
    """MDTS is 1 MiB: one block more is refused before anything is touched."""
    listing, page = drive.pages(), drive.pages()
    drive.memory.write(listing, struct.pack("<512Q", *([page] * 512)))
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing, cdw=[0, 0, 2047]).status == 0
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing, cdw=[0, 0, 2048]).status == BAD_FIELD
    assert drive.command(1, READ, nsid=1, prp1=page, prp2=listing, cdw=[0, 0, 0xffff]).status == BAD_FIELD
    alive(drive)


@pytest.mark.parametrize("flags", [1, 2, 3, 0x80, 0xc0], ids=hex)
def test_fused_and_reserved_flags(drive, flags):
    done = drive.command(1, READ, nsid=1, prp1=drive.pages(), cdw=[0, 0, 0], flags=flags)
    assert done.status != 0
    alive(drive)


@pytest.mark.parametrize("cns", [4, 5, 0x10, 0x20, 0xff])
def test_identify_that_there_is_not(drive, cns):
    assert drive.admin(IDENTIFY, prp1=drive.pages(), cdw=[cns]).status in (BAD_FIELD, BAD_NAMESPACE)


def test_identify_to_nowhere(drive):
    assert drive.admin(IDENTIFY, prp1=OUTSIDE, cdw=[1]).status in TRANSFER_ERRORS
    page = drive.pages()
    assert drive.admin(IDENTIFY, prp1=page + 512, prp2=OUTSIDE, cdw=[1]).status in TRANSFER_ERRORS
    assert drive.memory.read(page, 512) == bytes(512)
    alive(drive)


@pytest.mark.parametrize("page", [0, 4, 0x70, 0xff])
def test_log_page_that_there_is_not(drive, page):
    assert drive.admin(GET_LOG, nsid=0xffffffff, prp1=drive.pages(), cdw=[127 << 16 | page]).status == BAD_LOG_PAGE


@pytest.mark.parametrize("offset", [0x1000, 0xfffffffc, 1 << 33, (1 << 64) - 4])
def test_log_page_beyond_its_end(drive, offset):
    done = drive.admin(GET_LOG, nsid=0xffffffff, prp1=drive.pages(),
                       cdw=[127 << 16 | 2, 0, offset & 0xffffffff, offset >> 32])
    assert done.status == BAD_FIELD
    alive(drive)


def test_log_page_of_the_largest_size(drive):
    """Four GiB of log page are more than a transfer."""
    done = drive.admin(GET_LOG, nsid=0xffffffff, prp1=drive.pages(), prp2=drive.pages(), cdw=[0xffff0002, 0xffff])
    assert done.status != 0 or done.result == 0
    alive(drive)


@pytest.mark.parametrize("feature", [0, 3, 0x0e, 0x7f, 0xff])
def test_feature_that_there_is_not(drive, feature):
    assert drive.admin(GET_FEATURES, cdw=[feature]).status == BAD_FIELD
    assert drive.admin(SET_FEATURES, cdw=[feature, 1]).status == BAD_FIELD


def test_too_many_event_requests(drive):
    results = [drive.submit(0, drive.sqe(ASYNC_EVENT)) for _ in range(12)]
    drive.client.pump(0.05)
    drive.reap(0)
    refused = [drive.done[0, cid].status for cid in results if (0, cid) in drive.done]
    assert refused and set(refused) == {0x105}
    alive(drive)


def test_abort_of_nothing(drive):
    for sqid, cid in ((0, 0xffff), (1, 5), (9, 1), (0xffff, 0xffff)):
        done = drive.admin(ABORT, cdw=[cid << 16 | sqid])
        assert done.status in (0, BAD_FIELD, 3, BAD_QID)
        assert done.status or done.result & 1, "nothing was aborted"
    alive(drive)


def test_dataset_management_out_of_range(drive):
    drive.write(0, b"kept" * 128)
    page = drive.pages()
    drive.memory.write(page, struct.pack("<IIQ", 0, 8, 1 << 40) + struct.pack("<IIQ", 0, 0xffffffff, 0))
    assert drive.command(1, DATASET, nsid=1, prp1=page, cdw=[1, 4]).status == LBA_RANGE
    assert drive.command(1, DATASET, nsid=1, prp1=OUTSIDE, cdw=[0, 4]).status in TRANSFER_ERRORS
    assert drive.read(0, 512) == b"kept" * 128
    alive(drive)


def test_command_ids_twice(drive):
    """Two commands of the same id at once: each gets its completion or a conflict."""
    page = drive.pages()
    for _ in range(2):
        drive.put(1, drive.sqe(READ, 1, page, 0, [0, 0, 0], cid=77))
    drive.ring(1)
    seen = []
    deadline = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < deadline:
        queue = drive.queues[1]
        raw = drive.memory.read(queue.cq + queue.head * 16, 16)
        if raw[14] & 1 == queue.phase:
            seen.append(struct.unpack_from("<HH", raw, 12))
            queue.head += 1
        drive.client.pump(0.001)
    assert len(seen) == 2 and all(cid == 77 and status >> 1 & 0x7ff in (0, 3) for cid, status in seen)
    drive.doorbell(1, True, drive.queues[1].head)
    drive.queues[1].sq_head = drive.queues[1].tail
    alive(drive)


# ---- shadow doorbells


def test_shadow_doorbells(drive):
    drive.use_shadow()
    for n in range(300):
        drive.write(n, bytes([n & 0xff]) * 512)
    for n in range(300):
        assert drive.read(n, 512) == bytes([n & 0xff]) * 512


@pytest.mark.parametrize("shadow, eventidx", [
    (OUTSIDE, None), (None, OUTSIDE), (OUTSIDE, OUTSIDE), (1, None), (None, 2),
])
def test_shadow_doorbells_outside_memory(drive, shadow, eventidx):
    done = drive.admin(DOORBELL_BUFFER, prp1=drive.pages() if shadow is None else shadow,
                       prp2=drive.pages() if eventidx is None else eventidx)
    if not done.status:
        drive.doorbell(1, False, 0)
        drive.client.pump(0.02)
    start_over(drive)


@pytest.mark.parametrize("value", [64, 0xffff, 0x10000, 0xffffffff])
def test_shadow_doorbell_beyond_the_queue(drive, value):
    """Values that no doorbell may have, in memory that the guest changes at will."""
    drive.use_shadow()
    drive.write(0, bytes(512))
    for qid in range(1, 64):
        drive.memory.write(drive.shadow + 8 * qid, struct.pack("<II", value, value))
    drive.doorbell(1, False, drive.queues[1].tail)
    drive.client.pump(0.05)
    assert drive.reg(CSTS) & 1
    start_over(drive)


def test_shadow_page_is_unmapped_under_way(drive):
    extra = drive.memory.add(0x4000000, 0x10000)
    drive.client.dma_map(extra)
    drive.ok(0, DOORBELL_BUFFER, prp1=extra.addr, prp2=extra.addr + PAGE)
    assert drive.client.unmap_error(extra.addr, extra.size) == 0
    for n in range(5):
        drive.doorbell(1, False, n)
    drive.client.pump(0.05)
    start_over(drive)


# ---- registers


def test_every_register_with_every_value(target):
    """Reads and writes of all widths all over the BAR."""
    nvme = Nvme(target.qemu(target.memory()))
    client = nvme.client
    for offset in range(0, 0x1100):
        for width in (1, 2, 4, 8):
            client.read(0, offset, width)
    for value in (0, 1, 0xff):
        for offset in range(0, 0x1040):
            client.write(0, offset, bytes([value]))
        for offset in range(0, 0x1040, 4):
            client.write(0, offset, bytes([value]) * 4, posted=True)
        for offset in range(0, 0x1040, 8):
            client.write(0, offset, bytes([value]) * 8, posted=True)
    nvme.disable()
    nvme.enable()
    nvme.io_queue(1)
    alive(nvme)


def test_shutdown(drive):
    """Normal and abrupt; nothing works until the controller is reset."""
    for kind in (1, 2):
        drive.write(7, bytes([kind]) * 512)
        drive.set_reg(CC, drive.reg(CC) | kind << 14)
        drive.wait_csts(0xc, 8)
        start_over(drive)
        assert drive.read(7, 512) == bytes([kind]) * 512


def test_shared_doorbells(make_target):
    """Doorbells in memory that the client maps: whatever stands there is only a number."""
    target = make_target(attrs=[("nvme/doorbells", "shared")])
    nvme = target.drive()
    nvme.write(0, b"page" * 128)
    assert nvme.read(0, 512) == b"page" * 128
    for qid in range(64):
        nvme.doorbell(qid, False, 0xffffffff)
        nvme.doorbell(qid, True, 0xffffffff)
    nvme.client.pump(0.05)
    nvme.disable()
    for qid in range(64):
        nvme.doorbell(qid, False, 0)
        nvme.doorbell(qid, True, 0)
    nvme.enable()
    nvme.io_queue(1)
    alive(nvme)


def test_create_commands_with_every_bit(drive):
    """Create queue commands whose dwords are all ones or single bits."""
    page = drive.pages()
    for opcode in (CREATE_CQ, CREATE_SQ):
        for bit in range(32):
            drive.admin(opcode, prp1=page, cdw=[1 << bit, 1])
            drive.admin(opcode, prp1=page, cdw=[0x003f0009, 1 << bit])
        assert drive.admin(opcode, prp1=page, cdw=[0xffffffff] * 6).status != 0
    start_over(drive)
