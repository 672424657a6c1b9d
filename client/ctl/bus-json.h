/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * D-Bus values as JSON values: what the verbs read from the bus is kept in this form, for --json
 * and for the tables alike.
 */

#include "client/ctl/ctl.h"

/*
 * Reads the next complete value of the message. Dictionaries become objects (keys that are not
 * strings are written as strings), structs and arrays arrays, a variant what is in it, a file
 * descriptor null. 1: read. 0: the message or container ends here. Negative: errno.
 */
int bus_json_read(sd_bus_message *message, json_object **value);
