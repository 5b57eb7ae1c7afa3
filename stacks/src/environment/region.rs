//! Differences between the regions of AWS.

use super::text::Region;

/// The regions of AWS's commercial, Chinese and US government partitions (botocore 1.44.5,
/// `partitions.json`).
pub(super) const REGIONS: [&str; 40] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "me-west-1",
    "mx-central-1",
    "sa-east-1",
    "sa-west-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Regions in which API Gateway accepts fewer requests per second unless AWS raises the quota (API
/// Gateway Developer Guide, "Quotas", account-level throttling).
const SLOWER: [&str; 13] = [
    "af-south-1",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-7",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "eu-south-2",
    "il-central-1",
    "me-central-1",
    "mx-central-1",
];

/// A part of AWS with its own accounts, addresses and ARNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// Commercial regions.
    Commercial,
    /// China.
    China,
    /// US government.
    UsGov,
}

impl Partition {
    /// Its part of an ARN, after `arn:`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        }
    }

    /// The domain of the console, to which a region is prefixed (AWS Management Console
    /// documentation, "Service endpoints and quotas"; the guides of China and of US government
    /// regions).
    pub(crate) const fn console(self) -> &'static str {
        match self {
            Self::Commercial => "console.aws.amazon.com",
            Self::China => "console.amazonaws.cn",
            Self::UsGov => "console.amazonaws-us-gov.com",
        }
    }
}

impl Region {
    /// The partition of the region.
    pub fn partition(&self) -> Partition {
        let name = self.as_str();
        if name.starts_with("cn-") {
            Partition::China
        } else if name.starts_with("us-gov-") {
            Partition::UsGov
        } else {
            Partition::Commercial
        }
    }

    /// Requests per second that API Gateway accepts for all APIs of an account here, unless AWS has
    /// raised the quota.
    pub fn gateway_requests_per_second(&self) -> u32 {
        if SLOWER.contains(&self.as_str()) {
            2_500
        } else {
            10_000
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_with_a_lower_quota_is_a_region() {
        for region in SLOWER {
            assert!(REGIONS.contains(&region), "{region}");
        }
    }
}
