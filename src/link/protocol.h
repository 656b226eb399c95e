/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/*
 * What umdevd and umdev-host say to each other over a link (link.h).
 *
 * Order of a host's life:
 *
 *   host   -> LINK_HELLO   the driver is loaded: who it is and which tables it declares
 *   broker -> LINK_OPEN    options and the descriptors for them; the answer is the pool and the types
 *   broker -> its other requests, any number, any order
 *   host   -> LINK_KEEP / LINK_DROP / LINK_EVENT / LINK_JOIN / LINK_LEAVE, any time
 *   broker -> LINK_STOP; the host removes what is there and exits
 *
 * A link that ends without LINK_STOP means that the broker died. A host that has opened its parent
 * and was given a listening socket then serves on, keeps by itself what it wants kept, and waits
 * at that socket. The next broker finds it there, as run/umdev/hosts/<parent>.sock, and:
 *
 *   host   -> LINK_HELLO   as before
 *   broker -> LINK_TAKEOVER   host -> LINK_PARENT, then the answer
 *   broker -> LINK_NEXT       host -> LINK_MDEV and LINK_KEEPs of the next mdev, then the answer;
 *                             again until there is none
 *
 * From then on it is as if the link had never ended. Whatever a host does with an mdev it has told
 * of, it tells as ever; what it does with the others goes into what it will tell. A new link
 * replaces one that is there. Without a broker and without a client a host ends after a while.
 *
 * Two hosts of one parent, for an upgrade (the baton is an eventfd of value 1, which one read takes):
 *
 *   broker -> old   LINK_RELEASE with the baton: the old one stages to itself what it lets go of
 *   broker -> next  LINK_GIVEs and LINK_STAGE of each mdev, then LINK_OWN with the baton: it takes it
 *   broker -> next  LINK_CREATE of each mdev, built of what was staged
 *   broker -> old   LINK_FORGET
 *
 * A host that does not own the parent serves nothing and says hello to no other broker. When its
 * link ends, it takes the baton if it has one; without, or when the other host was first, it ends.
 * The owner builds what is still staged when its link ends.
 *
 * Shapes (JSON; "text" is always a string, numbers are non-negative integers below 2^63):
 *
 * hello   { version: LINK_VERSION, pid, driver: { name, description, version, flags, state_version, page_size,
 *           state_from? }, page_layout: text,
 *           options: [ { name, description, default?, choices?, min, max, kind } ],
 *           attrs:   [ { name, description, default, choices?, min, max, kind, when } ],
 *           stats:   [ { name, description } ],
 *           sandbox: { user, filesystem, network, capabilities, seccomp, user_namespace: bool,
 *                      needs: [ { name, reason } ], missing: [ text ] } }
 *         kind and when as in umdev/driver.h; page_size = bytes of the state page of an mdev;
 *         page_layout: of all in it but the driver's part; state_from: the oldest state_version of
 *         which the driver makes its own
 * failed  { word, message }             instead of hello; the host then exits
 * open    { name, values: { option: text }, fds: [ option, ... ],
 *           flags: { option: UMDEV_BACKING_* }, engines?: [ parallelism ] }
 *         engines: as an earlier host declared them
 *         + one fd per entry of fds, in order, then the broker's record: a file that the host
 *         keeps, never reads, and gives back with LINK_PARENT
 *      -> { description, pool: { units, align, unit }, engines: [ { name, parallelism } ],
 *           types: [ { id, name, description?, class, cost, flags, group_scope, requires_group,
 *                      group_hotplug, qos, attrs: [ [ name, value-or-null ], ... ],
 *                      endpoints?: { name, kind, count } } ] }
 *         ids are local ("1g"); kind is UMDEV_ENDPOINT_*
 * create  { uuid, type: index, piece: [ start, size ], attrs: { name: text }, origin: 0|1|2|3,
 *           qos?: { cap, weight, priority },
 *           group?: { uuid, cap, weight, priority }, kept?: number, stored?: bool }
 *         + 2 fds: the state page (memfd of page_size), the listening socket; then one for each
 *         endpoint of the type; then the broker's record of this mdev, as that of the parent
 *         origin 0: begins anew; 1: goes on from the page that another host left; 2: the same, but
 *         hosts died one after another, so one whose page says that a host died in the midst of it
 *         begins anew, without its client; 3: goes on from the stream
 *         (stream/stream.h) that was given under LINK_SLOT_STREAM, TYPE_MISMATCH when that is of
 *         another device
 *         kept: the number of the last keep or drop about it that the broker knows of; with stored,
 *         page and descriptors lay with a service manager, and where the page knows of a later
 *         one the device begins anew, without its client
 *         cap in hundredths of a percent; the knobs of group are those of the whole, priority 0
 *      -> { }
 *         without fds: those that were staged
 * convert { uuid, doubt: bool } + 2 fds: the state page that a host of an older state_version left,
 *                                       and a memfd of zeros of page_size
 *         makes of the one the other, for a create with origin 1 or 2; the first stays as it is.
 *         doubt: as with origin 2, and refused then
 *      -> { }
 * give    { uuid, slots: [ number ] } + one fd per slot: to the host, before a create with origin 1;
 *                                       what an earlier host had kept. It drops what it does not use
 * stage   as create, + the same fds: a create to come, after the gives of that mdev; in place of what
 *                                    was staged for it before
 *      -> { }
 * own     { } + 1 fd: the baton         the parent is this host's. INVALID when another one took the
 *                                       baton, or when something was not staged
 *      -> { }
 * forget  { }                           to the host, no answer: what is staged there is another's now
 * remove  { uuid, force: bool }         DEVICE_BUSY with a client connected and force false
 *      -> { }
 * release { } + 1 fd: the baton         of all mdevs: they come to rest and are staged; page and kept
 *                                       descriptors stay for another process, or for this one.
 *                                       Without the baton they are forgotten
 *      -> { }
 * save    { uuid, about: bytes } + 1 fd: a memfd that begins with that many bytes of text and ends up
 *                                        with the stream, the text in it
 *      -> { size }                      DEVICE_BUSY when a client uses it right now
 * attr    { uuid, name, value: text }   name without the driver's prefix
 *      -> { }
 * qos     { uuid, cap, weight, priority }   all at once, or none
 *      -> { }
 * group   { group, members: [ { uuid, parent, type, type_name, new: bool } ] }
 *         the whole set, on every parent; type ids in full
 *      -> { }                           the driver has nothing against it
 * group_qos { group, cap, weight, priority }   of a group with members here
 *      -> { }
 * usage   { uuid?, peers?: bool }       about this mdev, and the 128 that own most unless peers is
 *                                       false
 *      -> { time_ns, engines: [ { name, parallelism, reserved_slots, busy_ns, in_flight } ],
 *           hardware: bool, mdevs: { uuid: USAGE } }        hardware: the driver schedules
 *         USAGE = { cap, weight, priority, jobs, queued, in_flight, owned_ns, estimate_ns,
 *                   cap_debt_ns, wait_ns, wait_by_cause_ns: { cap, turn, priority, engine } },
 *         over all engines; what each cause means: qos/qos.h
 * stats   { uuid }
 *      -> { stats: { name: number }, host: { name: number },
 *           client: { pid, uid, since_ns } | null }
 * discard { start, size }
 *      -> { }
 * keep    { uuid, slots: [ number ], number? } + one fd per slot: keep these for me; one that is
 *                                       taken is replaced
 * drop    { uuid, slots: [ number ], number? }
 *         number: of keeps and drops of this mdev, one more for each; none when a mdev is told of
 * event   { uuid?, event: id, level: syslog level, message, pid?, uid?, since_ns? }
 *                                       since_ns: when the client of uuid came, by the wall clock
 * join    { uuid, pid, uid }            of the host: a client has connected to a member of a group,
 *                                       may it?
 *      -> { }                           yes, and it counts as one until:
 * leave   { uuid }                      the client asked about last has left
 * stop    { }                           of the broker: the orderly end
 * takeover { }                          answered when no removal is under way
 *      -> as open
 * parent  { values: { option: text }, fds: [ option, ... ], flags: { option: number } }
 *         + fds: all as open brought it, the record included
 * next    { after?: uuid }              the one after that, or the first
 *      -> { uuid }                      it was told; without uuid: there is none
 * mdev    { uuid, endpoints: number, asked: bool,
 *           client: { pid, uid, since_ns } | null, kept: number }
 *         + fds: page, listening socket, endpoints, record, as create brought them; asked: the
 *         client counts as one of the group
 */
/* clang-format on */
#pragma once

#define LINK_HELLO     "hello"
#define LINK_FAILED    "failed"
#define LINK_OPEN      "open"
#define LINK_CREATE    "create"
#define LINK_CONVERT   "convert"
#define LINK_GIVE      "give"
#define LINK_REMOVE    "remove"
#define LINK_STAGE     "stage"
#define LINK_OWN       "own"
#define LINK_FORGET    "forget"
#define LINK_RELEASE   "release"
#define LINK_SAVE      "save"
#define LINK_ATTR      "attr"
#define LINK_STATS     "stats"
#define LINK_QOS       "qos"
#define LINK_USAGE     "usage"
#define LINK_DISCARD   "discard"
#define LINK_KEEP      "keep"
#define LINK_DROP      "drop"
#define LINK_EVENT     "event"
#define LINK_GROUP     "group"
#define LINK_GROUP_QOS "group_qos"
#define LINK_JOIN      "join"
#define LINK_LEAVE     "leave"
#define LINK_STOP      "stop"
#define LINK_TAKEOVER  "takeover"
#define LINK_PARENT    "parent"
#define LINK_NEXT      "next"
#define LINK_MDEV      "mdev"

/* Of all the above. A broker does not take over a host of another version. */
#define LINK_VERSION 1

/* The host finds its end of the link at this descriptor. */
#define LINK_HOST_FD 3
/* ... and, with --handover, the bound socket for the next link at this one. */
#define LINK_LISTEN_FD 4

/* Events a host reports. */
#define EVENT_CLIENT_CONNECTED	  "client.connected"	/* pid, uid */
#define EVENT_CLIENT_DISCONNECTED "client.disconnected" /* message: why */
#define EVENT_CLIENT_REFUSED	  "client.refused" /* message: why; shown as last_refusal by list -v */
#define EVENT_DRIVER		  "driver"	   /* what the driver had to say */

/* Descriptors of one mdev are kept under slot numbers of the host's choice, below this. */
#define LINK_SLOT_COUNT 32768u
/* The one of them that the client's connection is kept under, and that a stream is given under. */
#define LINK_SLOT_CONNECTION 0
#define LINK_SLOT_STREAM     7

/* The broker starts a host as: umdev-host --driver NAME --driver-dir DIR --name PARENT --handover,
 * link at fd 3; one that is to replace another with --next. */
