/* SPDX-License-Identifier: BSD-3-Clause */
/* Of a session, for a device that rests: because it is saved, or moved by its client. */
#pragma once

#include "vfio/session.h"

/* Nobody else goes on: takes the pause back. */
void vfio_session_go_on(struct vfio_session *session);

/* Whether nothing is under way: no message in part, no command, no transfer of the device. */
bool vfio_session_still(const struct vfio_session *session);

/* Whether the device is at rest because its client wants that, or because it waits for its first
 * client after it was restored. */
bool vfio_session_rests(const struct vfio_session *session);
bool vfio_session_waits(const struct vfio_session *session);
