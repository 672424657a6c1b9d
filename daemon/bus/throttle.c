/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The implementation of throttle.h. */

#include "daemon/bus/throttle.h"

#include <uthash.h>

/* A message can come after the news that its sender is gone: now and then all start afresh. */
#define BUCKETS_MAX 4096

struct bucket {
	char *sender;
	uint64_t microtokens; /* so that a short time is not rounded to nothing */
	uint64_t since_usec;
	UT_hash_handle hh;
};

struct throttle {
	struct bucket *buckets;
};

static const uint64_t full = THROTTLE_BURST * 1000000ULL;

static void bucket_free(struct throttle *throttle, struct bucket *bucket)
{
	HASH_DEL(throttle->buckets, bucket);
	free(bucket->sender);
	free(bucket);
}

int throttle_new(struct throttle **ret)
{
	struct throttle *throttle = calloc(1, sizeof(*throttle));

	if (!throttle)
		return -ENOMEM;
	*ret = throttle;
	return 0;
}

static void forget_all(struct throttle *throttle)
{
	while (throttle->buckets)
		bucket_free(throttle, throttle->buckets);
}

struct throttle *throttle_free(struct throttle *throttle)
{
	if (!throttle)
		return NULL;
	forget_all(throttle);
	free(throttle);
	return NULL;
}

static struct bucket *bucket_new(struct throttle *throttle, const char *sender, uint64_t now_usec)
{
	struct bucket *bucket;

	if (HASH_COUNT(throttle->buckets) >= BUCKETS_MAX)
		forget_all(throttle);
	bucket = calloc(1, sizeof(*bucket));
	if (!bucket)
		return NULL;
	bucket->sender = strdup(sender);
	if (!bucket->sender) {
		free(bucket);
		return NULL;
	}
	bucket->microtokens = full;
	bucket->since_usec = now_usec;
	HASH_ADD_KEYPTR(hh, throttle->buckets, bucket->sender, strlen(bucket->sender), bucket);
	return bucket;
}

static void bucket_fill(struct bucket *bucket, uint64_t now_usec)
{
	uint64_t passed = now_usec - bucket->since_usec;

	bucket->since_usec = now_usec;
	/* Before it can overflow, it is full. */
	if (passed > full / THROTTLE_PER_SECOND)
		passed = full / THROTTLE_PER_SECOND;
	bucket->microtokens += passed * THROTTLE_PER_SECOND;
	if (bucket->microtokens > full)
		bucket->microtokens = full;
}

int throttle_take(struct throttle *throttle, const char *sender, unsigned int cost,
		  uint64_t now_usec)
{
	struct bucket *bucket;
	uint64_t price = cost * 1000000ULL;

	HASH_FIND_STR(throttle->buckets, sender, bucket);
	if (!bucket)
		bucket = bucket_new(throttle, sender, now_usec);
	if (!bucket)
		return -ENOMEM;
	bucket_fill(bucket, now_usec);
	if (bucket->microtokens < price)
		return 1;
	bucket->microtokens -= price;
	return 0;
}

void throttle_forget(struct throttle *throttle, const char *sender)
{
	struct bucket *bucket;

	HASH_FIND_STR(throttle->buckets, sender, bucket);
	if (bucket)
		bucket_free(throttle, bucket);
}

unsigned int throttle_cost(const char *interface, const char *member, size_t objects)
{
	if (streq0(interface, "org.freedesktop.DBus.Introspectable") ||
	    streq0(member, "Introspect") || streq0(member, "GetAll"))
		return 3;
	/* The interface may be left out of a call. */
	if (!streq0(member, "GetManagedObjects"))
		return 1;
	/* Even the whole of a bucket buys one. */
	return objects < THROTTLE_BURST / 2 ? 10 + (unsigned int)objects : THROTTLE_BURST / 2;
}
